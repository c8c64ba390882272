"""What all data sets of windows share: which image, which window, which condition, from a seed and a number."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, get_worker_info

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.encoders.store import EmbeddingStore
from infbrush_wsi.diffusion.process import TRAIN_TIMESTEPS
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import DatasetError, SourceError
from infbrush_wsi.sources.base import Source
from infbrush_wsi.training.windows import WindowPicker

Item = TypeVar("Item", covariant=True)
Made = TypeVar("Made")
TOLD = 3
"""Reasons that a message gives."""


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


@dataclass(frozen=True)
class Place:
    """Where a window lies.

    Attributes:
        path: of the image.
        location: (x, y) of its top left corner in pixels of level 0.
        size: (w, h) in these.
    """

    path: str
    location: tuple[int, int]
    size: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.path} at {self.location}, {self.size[0]} x {self.size[1]} pixels"


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


class _Drawn(Protocol):
    """How samples are drawn, as far as it is shared."""

    @property
    def batch(self) -> int:
        """Images per process and step."""
        ...


class WindowDataset(Dataset[Item]):
    """Draws images and windows; classes equally often, images of a class in proportion to their area.

    A sample whose image cannot be read is drawn anew from the others, and the image noted. So a sample is a function of
    the run, its number, and of what can be read.

    Args:
        images: training images.
        spacings: pixel sizes to draw from, finest first; empty: each source's own level 0.
        window: side in pixels.
        tissue_fraction: see `WindowPicker`.
        seed: of the run.
        embeddings: of all images; None: their classes are the conditions.

    Attributes:
        images: as given.
        board: where a loader worker writes what it reads, see `unreadable.shared_board`; None: nowhere.
    """

    spec: _Drawn
    rank: int
    world: int

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
        self._known_odds: dict[frozenset[int], NDArray[np.float64]] = {}
        self._left_out: dict[int, str] = {}
        self._unreadable: dict[int, str] = {}
        self.board: torch.Tensor | None = None

    @property
    def labelled(self) -> bool:
        """Whether the images have classes."""
        return any(image.label is not None for image in self.images)

    def places(self, step: int) -> list[Place]:
        """Where the windows of a step's batch are, in its order; an image is not read to find out whether it can be."""
        return [self._place(number) for number in self._numbers(step)]

    def _numbers(self, step: int) -> range:
        """Samples of the run that a step of this process takes."""
        first = (step * self.world + self.rank) * self.spec.batch
        return range(first, first + self.spec.batch)

    def _place(self, number: int) -> Place:
        image, picker, box = self._readable(number, lambda rng, image, picker, _: (image, picker, picker.draw(rng)))
        pixel, own = picker.view.lattice.spacing, image.source.lattice.spacing
        x, y = pixel.x / own.x, pixel.y / own.y
        location, size = (round(box.x0 * x), round(box.y0 * y)), (round(box.w * x), round(box.h * y))
        return Place(str(image.source.path), location, size)

    def _rng(self, purpose: str, number: int) -> np.random.Generator:
        """Random numbers for the 'times' of a step or for a 'sample' of the run."""
        stream = {"times": 0, "sample": 1}[purpose]
        return np.random.default_rng([self._seed, stream, number])

    def leave_out(self, images: Mapping[int, str]) -> None:
        """Take no sample of these any more; reasons by number."""
        self._left_out |= images

    def take_unreadable(self) -> dict[int, str]:
        """Images that could not be read since the last call: the first reason by number."""
        found, self._unreadable = self._unreadable, {}
        return found

    def _readable(
        self, number: int, make: Callable[[np.random.Generator, TrainingImage, WindowPicker, float], Made]
    ) -> Made:
        """A sample of the run, of the first image drawn for it that can be read.

        Args:
            number: of the sample.
            make: (random numbers, image, picker of its windows at one of the pixel sizes, that size over the finest) →
                the sample.

        Raises:
            DatasetError: if no image can be read.
        """
        failed = dict(self._left_out)
        rng = self._rng("sample", number)
        while True:
            chosen = int(rng.choice(len(self.images), p=self._odds(frozenset(failed), self._reasons(failed))))
            self._tell(chosen)
            try:
                picker, ratio = self._picker(rng, chosen)
                return make(rng, self.images[chosen], picker, ratio)
            except SourceError as error:
                failed[chosen] = str(error)
                self._unreadable.setdefault(chosen, str(error))
            finally:
                self._tell(-1)
            rng = np.random.default_rng([self._seed, 1, number, len(failed)])

    def _tell(self, image: int) -> None:
        """Write down what is read now, for whoever finds this process dead."""
        worker = get_worker_info() if self.board is not None else None
        if self.board is not None and worker is not None:
            self.board[worker.id, 0], self.board[worker.id, 1] = os.getpid(), image

    def _reasons(self, failed: Mapping[int, str]) -> str:
        shown = [f"{self.images[number].source.path}: {reason}" for number, reason in list(failed.items())[:TOLD]]
        return "; ".join(shown) + (" ..." if len(failed) > TOLD else "")

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

    def _odds(self, without: frozenset[int] = frozenset(), reasons: str = "") -> NDArray[np.float64]:
        """Probability of each image: classes equally, images by area (in pixels of level 0)."""
        if len(without) == len(self.images):
            raise DatasetError(f"none of the {len(self.images)} images can be read any more: {reasons}")
        if without not in self._known_odds:
            area = np.array([float(image.source.levels[0].lattice.shape.count) for image in self.images])
            area[list(without)] = 0.0
            labels = np.array([-1 if image.label is None else image.label for image in self.images])
            for label in np.unique(labels):
                area[labels == label] /= area[labels == label].sum() or 1.0
            self._known_odds[without] = np.asarray(area / area.sum())
        return self._known_odds[without]

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
