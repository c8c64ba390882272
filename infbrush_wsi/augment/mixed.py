"""Real images followed by synthetic ones, with the labels of the real ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from infbrush_wsi.errors import ConfigError, DatasetError


class MixedDataset(Dataset[tuple[Any, int]]):
    """All real images, and so many synthetic ones for each.

    Labels are those of the real data set; synthetic classes are found in it by name. The first synthetic images are
    taken, which are balanced for a `SyntheticDataset`.

    Args:
        real: a data set of (image, class index), as of torchvision; with ``classes``, or give those.
        synthetic: `SyntheticDataset`, or a part of one (`torch.utils.data.Subset`, `Selection.subset`).
        ratio: synthetic images per real one.
        classes: names of the real data set's labels, if it does not say them.
        transform: of all images, after the data sets' own.

    Raises:
        ConfigError: for a ratio that is negative or asks for more images than there are.
        DatasetError: if names of classes are unknown or differ.
    """

    def __init__(
        self,
        real: Dataset[Any],
        synthetic: Dataset[Any],
        ratio: float,
        *,
        classes: Sequence[str] | None = None,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        if not (math.isfinite(ratio) and ratio >= 0):
            raise ConfigError(f"the ratio of synthetic to real images must be finite and not negative, not {ratio}")
        self.real, self.synthetic, self.transform = real, synthetic, transform
        self.real_count = len(real)  # type: ignore[arg-type]
        self.synthetic_count = round(ratio * self.real_count)
        known = len(synthetic)  # type: ignore[arg-type]
        if self.synthetic_count > known:
            raise ConfigError(
                f"a ratio of {ratio:g} to {self.real_count} real images takes {self.synthetic_count} synthetic ones, "
                f"and there are {known}; make more, or lower the ratio"
            )
        self.classes = _classes(real, classes)
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self._labels = self._translation(_classes(synthetic, None))

    def __len__(self) -> int:
        return self.real_count + self.synthetic_count

    def __getitem__(self, index: int) -> tuple[Any, int]:
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(f"the data set has {len(self)} images, there is no number {index}")
        if at < self.real_count:
            image, label = self.real[at]
        else:
            image, own = self.synthetic[at - self.real_count]
            label = self._labels[int(own)]
        return (image if self.transform is None else self.transform(image)), label

    def is_synthetic(self, index: int) -> bool:
        """Whether an item was generated."""
        return (index + len(self) if index < 0 else index) >= self.real_count

    @property
    def targets(self) -> list[int]:
        """Class index of every item, if both data sets know theirs without loading images.

        Raises:
            DatasetError: if one does not.
        """
        made = _targets(self.synthetic)[: self.synthetic_count]
        return [*_targets(self.real), *(self._labels[label] for label in made)]

    def _translation(self, names: Sequence[str]) -> list[int]:
        """Real class index of every synthetic one."""
        unknown = [name for name in names if name not in self.class_to_idx]
        if unknown:
            raise DatasetError(
                f"the synthetic classes {', '.join(unknown)} are none of the real ones ({', '.join(self.classes)})"
            )
        return [self.class_to_idx[name] for name in names]


def _classes(dataset: Any, given: Sequence[str] | None) -> tuple[str, ...]:
    if given is not None:
        return tuple(given)
    inner = dataset
    while not hasattr(inner, "classes") and hasattr(inner, "dataset"):  # Subset
        inner = inner.dataset
    names = getattr(inner, "classes", None)
    if not names:
        raise DatasetError(f"{type(dataset).__name__} does not say the names of its classes; give them as classes=")
    return tuple(map(str, names))


def _targets(dataset: Any) -> list[int]:
    if hasattr(dataset, "targets"):
        return [int(label) for label in np.asarray(dataset.targets)]
    if hasattr(dataset, "dataset") and hasattr(dataset, "indices"):
        inner = _targets(dataset.dataset)
        return [inner[index] for index in dataset.indices]
    raise DatasetError(f"{type(dataset).__name__} does not say its targets")
