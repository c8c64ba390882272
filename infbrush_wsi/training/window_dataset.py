"""What all data sets of windows share: which image, which window, which condition, from a seed and a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.encoders.store import EmbeddingStore
from infbrush_wsi.diffusion.process import TRAIN_TIMESTEPS
from infbrush_wsi.domain import Box
from infbrush_wsi.sources.base import Source
from infbrush_wsi.training.windows import WindowPicker

Item = TypeVar("Item", covariant=True)


@dataclass(frozen=True)
class TrainingImage:
    """A source that has been opened, checked and labelled.

    Attributes:
        source: opened.
        label: index of its class, or None.
        name: for messages.
        key: of its embeddings in the run's store, or None.
    """

    source: Source
    label: int | None
    name: str
    key: str | None = None


class Sample(Protocol):
    """What a condition is found from."""

    @property
    def image(self) -> TrainingImage:
        """Where the window is from."""
        ...

    @property
    def embedding(self) -> NDArray[np.float32] | None:
        """Of the window, if there is one."""
        ...


class WindowDataset(Dataset[Item]):
    """Draws images and windows; classes equally often, images of a class in proportion to their area.

    Args:
        images: training images.
        spacings: pixel sizes to draw from, finest first; empty: each source's own level 0.
        window: side in pixels.
        tissue_fraction: see `WindowPicker`.
        seed: of the run.
        embeddings: of all images; None: their classes are the conditions.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        *,
        spacings: tuple[float, ...],
        window: int,
        tissue_fraction: float,
        seed: int,
        embeddings: EmbeddingStore | None = None,
    ) -> None:
        self.images = list(images)
        self.embeddings = embeddings
        self._spacings, self._window, self._tissue_fraction, self._seed = spacings, window, tissue_fraction, seed
        self._pickers: dict[tuple[int, float], WindowPicker] = {}

    @property
    def labelled(self) -> bool:
        """Whether the images have classes."""
        return any(image.label is not None for image in self.images)

    def _rng(self, purpose: str, number: int) -> np.random.Generator:
        """Random numbers for the 'times' of a step or for a 'sample' of the run."""
        stream = {"times": 0, "sample": 1}[purpose]
        return np.random.default_rng([self._seed, stream, number])

    def _image(self, rng: np.random.Generator) -> tuple[TrainingImage, WindowPicker, float]:
        """An image, the picker of its windows at one of the pixel sizes, and that size over the finest."""
        chosen = int(rng.choice(len(self.images), p=self._odds))
        picker, ratio = self._picker(rng, chosen)
        return self.images[chosen], picker, ratio

    def _condition(self, samples: Sequence[Sample]) -> ConditionBatch:
        """The embeddings of the windows, or the classes of their images."""
        if self.embeddings is not None:
            null = torch.tensor([s.embedding is None for s in samples])
            blank = np.zeros(self.embeddings.settings.encoder.dimension, np.float32)
            rows = np.stack([blank if s.embedding is None else s.embedding for s in samples])
            return ConditionBatch(null, embeddings=torch.from_numpy(rows)[:, None])
        labels = torch.tensor([-1 if s.image.label is None else s.image.label for s in samples])
        return ConditionBatch(labels < 0, labels=labels if self.labelled else None)

    def _embedding(self, image: TrainingImage, picker: WindowPicker, box: Box) -> NDArray[np.float32] | None:
        """Mean embedding of a window, None where it has no tissue."""
        if self.embeddings is None or image.key is None:
            return None
        spacing = picker.view.lattice.spacing
        location, size = (box.x0 * spacing.x, box.y0 * spacing.y), (box.w * spacing.x, box.h * spacing.y)
        return self.embeddings.mean(image.key, location, size)

    @cached_property
    def _odds(self) -> NDArray[np.float64]:
        """Probability of each image: classes equally, images by area (in pixels of level 0)."""
        area = np.array([float(image.source.levels[0].lattice.shape.count) for image in self.images])
        labels = np.array([-1 if image.label is None else image.label for image in self.images])
        for label in np.unique(labels):
            area[labels == label] /= area[labels == label].sum()
        return np.asarray(area / area.sum())

    def _picker(self, rng: np.random.Generator, chosen: int) -> tuple[WindowPicker, float]:
        spacings = self._spacings
        source = self.images[chosen].source
        own = source.lattice.spacing
        spacing = float(rng.choice(spacings)) if spacings else (own.x * own.y) ** 0.5
        key = (chosen, spacing)
        if key not in self._pickers:
            view = source.at(spacing)
            self._pickers[key] = WindowPicker(view, source, self._window, self._tissue_fraction)
        return self._pickers[key], spacing / min(spacings) if spacings else 1.0


def stratified_times(rng: np.random.Generator, batch: int) -> NDArray[np.int64]:
    """One time step in each of `batch` equal parts of the schedule, in random order: lower variance, same law."""
    times = (np.arange(batch) + rng.random(batch)) / batch * TRAIN_TIMESTEPS
    return rng.permutation(np.minimum(times.astype(np.int64), TRAIN_TIMESTEPS - 1))
