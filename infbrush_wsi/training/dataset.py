"""The data set: batch k of a run is a pure function of (configuration, seed, k), whoever computes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.encoders.store import EmbeddingStore
from infbrush_wsi.diffusion.process import TRAIN_TIMESTEPS
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.fields.mollifier import Mollifier
from infbrush_wsi.fields.noise import NoiseField
from infbrush_wsi.points.draw import Draw
from infbrush_wsi.points.pixel_cache import PixelCache
from infbrush_wsi.points.pixels import gather_mollified
from infbrush_wsi.points.prepare import Layout, scatter_support
from infbrush_wsi.points.samplers import CoordinateSampler
from infbrush_wsi.sources.base import Source
from infbrush_wsi.training.batch import TrainBatch
from infbrush_wsi.training.symmetry import in_window_frame, to_source_frame
from infbrush_wsi.training.windows import WindowPicker


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
class SampleSpec:
    """How a sample is drawn.

    Attributes:
        spacings: pixel sizes to draw from, finest first, in the sources' unit; empty: each source's own level 0.
        window: side in pixels.
        points: per image.
        sampler: of coordinates.
        layout: what the model asks of the maps.
        sigma: of mollifier and noise in pixels.
        tissue_fraction: see `WindowPicker`.
        flips: augment by the symmetries of the square.
        condition_drop: probability of a null condition.
        batch: images per process and step.
        seed: of the run.
    """

    spacings: tuple[float, ...]
    window: int
    points: int
    sampler: CoordinateSampler
    layout: Layout
    sigma: float
    tissue_fraction: float
    flips: bool
    condition_drop: float
    batch: int
    seed: int


class Conditioned(Protocol):
    """What a sample's condition is made from."""

    @property
    def image(self) -> TrainingImage:
        """That it was cut from."""
        ...

    @property
    def embedding(self) -> NDArray[np.float32] | None:
        """Of its window, or None."""
        ...


@dataclass(frozen=True)
class _Sample:
    draw: Draw
    clean: NDArray[np.float32]
    noise: NDArray[np.float32]
    valid: NDArray[np.bool_]
    spacing_ratio: float
    image: TrainingImage
    embedding: NDArray[np.float32] | None


class FunctionDataset(Dataset[TrainBatch]):
    """Item k is the batch of optimiser step k of this process.

    Args:
        images: training images; classes are drawn equally often, images of a class in proportion to their area.
        spec: how samples are drawn.
        embeddings: of all images; None: their classes are the conditions.
        cache_dir: of decoded tiles; None: temporary.
        cache_bytes: its limit.
        steps: length.
        rank: of this process.
        world: number of processes.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        spec: SampleSpec,
        *,
        embeddings: EmbeddingStore | None = None,
        cache_dir: Path | None = None,
        cache_bytes: int = 8 << 30,
        steps: int = 1,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.images = list(images)
        self.spec = spec
        self.embeddings = embeddings
        self.steps, self.rank, self.world = steps, rank, world
        self.mollifier = Mollifier(sigma=spec.sigma)
        self.cache = PixelCache(cache_dir, limit_bytes=cache_bytes, apron=self.mollifier.apron)
        self._pickers: dict[tuple[int, float], WindowPicker] = {}

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> TrainBatch:
        """The batch of a step."""
        batch = self.spec.batch
        first = (step * self.world + self.rank) * batch
        samples = [self._sample(first + i) for i in range(batch)]
        # Times and drops are drawn for all processes together: the global batch does not depend on how it is cut.
        rng, mine = self._rng("times", step), slice(self.rank * batch, (self.rank + 1) * batch)
        times = stratified_times(rng, self.world * batch)[mine]
        dropped = (rng.random(self.world * batch) < self.spec.condition_drop)[mine]
        side = self.spec.window
        weight = np.stack([s.draw.weight * s.valid for s in samples])
        return TrainBatch(
            clean=torch.from_numpy(np.stack([s.clean for s in samples])),
            noise=torch.from_numpy(np.stack([s.noise for s in samples])),
            weight=torch.from_numpy(weight.astype(np.float32)),
            support=scatter_support([s.draw for s in samples], Shape(side, side), self.spec.layout),
            condition=self._condition(samples).dropped(torch.from_numpy(dropped)),
            timestep=torch.from_numpy(times),
            log_magnification=torch.tensor([np.log2(s.spacing_ratio) for s in samples], dtype=torch.float32),
            origin=tuple(s.image.name for s in samples),
        )

    def values(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """T x_0 (N, C) of sample `number` of the run (all processes counted), and its loss weights (N,)."""
        sample = self._sample(number)
        return sample.clean, (sample.draw.weight * sample.valid).astype(np.float32)

    def _condition(self, samples: Sequence[Conditioned]) -> ConditionBatch:
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

    @property
    def labelled(self) -> bool:
        """Whether the images have classes."""
        return any(image.label is not None for image in self.images)

    @cached_property
    def _odds(self) -> NDArray[np.float64]:
        """Probability of each image: classes equally, images by area (in pixels of level 0)."""
        area = np.array([float(image.source.levels[0].lattice.shape.count) for image in self.images])
        labels = np.array([-1 if image.label is None else image.label for image in self.images])
        for label in np.unique(labels):
            area[labels == label] /= area[labels == label].sum()
        return np.asarray(area / area.sum())

    def _rng(self, purpose: str, number: int) -> np.random.Generator:
        stream = {"times": 0, "sample": 1}[purpose]
        return np.random.default_rng([self.spec.seed, stream, number])

    def _sample(self, number: int) -> _Sample:
        rng = self._rng("sample", number)
        chosen = int(rng.choice(len(self.images), p=self._odds))
        picker, ratio = self._picker(rng, chosen)
        box = picker.draw(rng)
        side = self.spec.window
        symmetry = int(rng.integers(8)) if self.spec.flips else 0
        tissue = in_window_frame(picker.crop(box), symmetry).astype(np.float64)
        draw = self.spec.sampler.draw(rng, Shape(side, side), self.spec.points, tissue if tissue.any() else None)
        where = to_source_frame(draw.index_yx, side, symmetry) + np.array([box.y0, box.x0])
        clean = gather_mollified(self.cache, picker.view, where, self.mollifier)
        field = NoiseField(seed=int(rng.integers(1 << 63)), channels=clean.shape[1], sigma=self.spec.sigma)
        noise = field.at(draw.index_yx.astype(np.float64) + 0.5, threads=1)
        image = self.images[chosen]
        # Tissue masks steer sampling; only masks of *invalid* pixels may silence the loss.
        valid = picker.at(where) if image.source.mask_kind == "valid" else np.ones(draw.count, bool)
        return _Sample(draw, clean, noise, valid, ratio, image, self._embedding(image, picker, box))

    def _picker(self, rng: np.random.Generator, chosen: int) -> tuple[WindowPicker, float]:
        spacings = self.spec.spacings
        source = self.images[chosen].source
        own = source.lattice.spacing
        spacing = float(rng.choice(spacings)) if spacings else (own.x * own.y) ** 0.5
        key = (chosen, spacing)
        if key not in self._pickers:
            view = source.at(spacing)
            self._pickers[key] = WindowPicker(view, source, self.spec.window, self.spec.tissue_fraction)
        return self._pickers[key], spacing / min(spacings) if spacings else 1.0


def stratified_times(rng: np.random.Generator, batch: int) -> NDArray[np.int64]:
    """One time step in each of `batch` equal parts of the schedule, in random order: lower variance, same law."""
    times = (np.arange(batch) + rng.random(batch)) / batch * TRAIN_TIMESTEPS
    return rng.permutation(np.minimum(times.astype(np.int64), TRAIN_TIMESTEPS - 1))
