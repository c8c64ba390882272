"""A labelled data set whose images are generated when they are asked for."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from infbrush_wsi.augment.picture_cache import PictureCache
from infbrush_wsi.augment.synthesis import Synthesis
from infbrush_wsi.errors import ConditionError, ConfigError
from infbrush_wsi.pipelines.settings import taken

UNLABELLED = "synthetic"
"""The class of images of a model that has none."""


@dataclass(frozen=True)
class Entry:
    """What an item is.

    Attributes:
        label: class.
        number: of the image within its class.
        seed: of the image.
    """

    label: str
    number: int
    seed: int

    @property
    def name(self) -> str:
        """Path of the image within a labelled folder, without suffix."""
        return f"{self.label}/{self.label}_{self.number:06d}"


class SyntheticDataset(Dataset[tuple[Any, int]]):
    """As many images of every class, each a function of (model, settings, class, number).

    Items follow in turns of the classes, so the first n are balanced for any n. The same item is the same image in any
    order, process and data set length. It feeds `torch.utils.data.DataLoader` with workers and torchvision's
    transforms, and has the attributes ``classes``, ``class_to_idx`` and ``targets`` of torchvision's data sets.

    Args:
        pipeline: a model of any system.
        per_class: images of each class.
        classes: some of the model's; None: all. A model without classes has the one class 'synthetic'.
        synthesis: size, pixel size, sampler.
        transform: of the image, uint8 tensor (C, h, w).
        target_transform: of the class index.
        cache: folder in which images are kept as PNG and found again, by this and other processes, in a folder for each
            class.

    Raises:
        ConditionError: for a class that the model does not know.
        ConfigError: for settings that cannot be; for a cache of images that are neither grey nor RGB.
        OutputError: if the cache is of another model or other settings.
    """

    def __init__(
        self,
        pipeline: Any,
        per_class: int,
        *,
        classes: Sequence[str] | None = None,
        synthesis: Synthesis | None = None,
        transform: Callable[[torch.Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        cache: str | Path | None = None,
    ) -> None:
        if per_class < 1:
            raise ConfigError(f"a data set needs at least one image of a class, not {per_class}")
        self.pipeline, self.per_class = pipeline, operator.index(per_class)
        self.synthesis = synthesis or Synthesis()
        self.classes = _chosen(pipeline.classes, classes)
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.transform, self.target_transform = transform, target_transform
        canvas = self._canvas(self.entry(0))  # refuses sizes and samplers before hours of work
        self.channel_names, self.mpp, self.spacing = canvas.channel_names, canvas.mpp, canvas.lattice.spacing.x
        self._cache = None if cache is None else PictureCache(Path(cache), self.record, len(self.channel_names))

    def __len__(self) -> int:
        return self.per_class * len(self.classes)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        entry = self.entry(index)
        image: Any = torch.from_numpy(self.pixels(index).transpose(2, 0, 1).copy())
        label = self.class_to_idx[entry.label]
        image = image if self.transform is None else self.transform(image)
        return image, label if self.target_transform is None else self.target_transform(label)

    @property
    def targets(self) -> list[int]:
        """Class index of every item."""
        return [index % len(self.classes) for index in range(len(self))]

    @property
    def record(self) -> dict[str, Any]:
        """What all images were made by, plain JSON."""
        return {
            "synthetic": True,
            "weights_sha256": self.pipeline.bundle.weights_sha256,
            "synthesis": asdict(self.synthesis) | {"size": list(self.synthesis.size)},
        }

    def cached(self, folder: str | Path) -> SyntheticDataset:
        """The same data set with a cache.

        Raises:
            ConfigError, OutputError: see the class.
        """
        other = copy(self)
        other._cache = PictureCache(Path(folder), self.record, len(self.channel_names))
        return other

    def entry(self, index: int) -> Entry:
        """What an item is; negative indices count from the end.

        Raises:
            IndexError: beyond the data set.
        """
        at = operator.index(index)
        at = at + len(self) if at < 0 else at
        if not 0 <= at < len(self):
            raise IndexError(f"the data set has {len(self)} images, there is no number {index}")
        number, which = divmod(at, len(self.classes))
        label = self.classes[which]
        return Entry(label, number, self.synthesis.image_seed(label, number))

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """An image as it is generated: uint8 (h, w, C)."""
        entry = self.entry(index)
        if self._cache is None:
            return self._generate(entry)
        return self._cache.get(entry.name, {"label": entry.label, "seed": entry.seed}, lambda: self._generate(entry))

    def _generate(self, entry: Entry) -> NDArray[np.uint8]:
        return np.asarray(self._canvas(entry).read_region((0, 0), 0, self.synthesis.size), np.uint8)

    def _canvas(self, entry: Entry) -> Any:
        condition = entry.label if self.pipeline.classes else None
        return self.pipeline(condition, seed=entry.seed, **taken(self.pipeline, self.synthesis.call()))


def _chosen(known: Sequence[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    if not known:
        if wanted not in (None, (UNLABELLED,), [UNLABELLED]):
            raise ConditionError("this model has no classes; leave them out")
        return (UNLABELLED,)
    chosen = tuple(known if wanted is None else wanted)
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen or len(set(chosen)) < len(chosen):
        raise ConditionError(
            f"the classes of a synthetic data set are some of the model's, each once: {', '.join(known)}; "
            f"not {', '.join(map(repr, chosen)) or 'none'}"
        )
    return chosen
