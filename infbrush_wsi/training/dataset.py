"""The data set: batch k of a run is a pure function of (configuration, seed, k), whoever computes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.encoders.store import EmbeddingStore
from infbrush_wsi.domain import Shape
from infbrush_wsi.fields.mollifier import Mollifier
from infbrush_wsi.fields.noise import NoiseField
from infbrush_wsi.points.draw import Draw
from infbrush_wsi.points.pixel_cache import PixelCache
from infbrush_wsi.points.pixels import gather_mollified
from infbrush_wsi.points.prepare import Layout, scatter_support
from infbrush_wsi.points.samplers import CoordinateSampler
from infbrush_wsi.training.batch import PointValues, TrainBatch
from infbrush_wsi.training.symmetry import in_window_frame, to_source_frame
from infbrush_wsi.training.window_dataset import Sample, TrainingImage, WindowDataset, stratified_times
from infbrush_wsi.training.windows import WindowPicker


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
        reference_points: how many other points of each window are drawn for an encoder, whose latent then is the
            condition; 0: none.
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
    reference_points: int = 0


@dataclass(frozen=True)
class _Sample:
    draw: Draw
    clean: NDArray[np.float32]
    noise: NDArray[np.float32]
    valid: NDArray[np.bool_]
    spacing_ratio: float
    image: TrainingImage
    embedding: NDArray[np.float32] | None
    reference: tuple[Draw, NDArray[np.float32]] | None


class FunctionDataset(WindowDataset[TrainBatch]):
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

    spec: SampleSpec

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
        super().__init__(
            images,
            spacings=spec.spacings,
            window=spec.window,
            tissue_fraction=spec.tissue_fraction,
            seed=spec.seed,
            embeddings=embeddings,
        )
        self.spec = spec
        self.steps, self.rank, self.world = steps, rank, world
        self.mollifier = Mollifier(sigma=spec.sigma)
        self.cache = PixelCache(cache_dir, limit_bytes=cache_bytes, apron=self.mollifier.apron)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> TrainBatch:
        """The batch of a step."""
        batch = self.spec.batch
        samples = [self._sample(number) for number in self._numbers(step)]
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
            reference=self._reference(samples),
        )

    def values(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """T x_0 (N, C) of sample `number` of the run (all processes counted), and its loss weights (N,)."""
        sample = self._sample(number)
        return sample.clean, (sample.draw.weight * sample.valid).astype(np.float32)

    def _reference(self, samples: Sequence[_Sample]) -> PointValues | None:
        drawn = [s.reference for s in samples if s.reference is not None]
        if not drawn:
            return None
        shape = Shape(self.spec.window, self.spec.window)
        support = scatter_support([draw for draw, _ in drawn], shape, self.spec.layout)
        return PointValues(torch.from_numpy(np.stack([clean for _, clean in drawn])), support)

    def _condition(self, samples: Sequence[Sample]) -> ConditionBatch:
        """As all data sets of windows have it, but latents follow from the reference points."""
        if self.spec.reference_points:
            return ConditionBatch(torch.zeros(len(samples), dtype=torch.bool))
        return super()._condition(samples)

    def _sample(self, number: int) -> _Sample:
        return self._readable(number, self._sample_of)

    def _sample_of(self, rng: np.random.Generator, image: TrainingImage, picker: WindowPicker, ratio: float) -> _Sample:
        box = picker.draw(rng)
        side = self.spec.window
        symmetry = int(rng.integers(8)) if self.spec.flips else 0
        tissue = in_window_frame(picker.crop(box), symmetry).astype(np.float64)
        density = tissue if tissue.any() else None

        def drawn(points: int) -> tuple[Draw, NDArray[np.int64], NDArray[np.float32]]:
            draw = self.spec.sampler.draw(rng, Shape(side, side), points, density)
            where = to_source_frame(draw.index_yx, side, symmetry) + np.array([box.y0, box.x0])
            return draw, where, gather_mollified(self.cache, picker.view, where, self.mollifier)

        draw, where, clean = drawn(self.spec.points)
        field = NoiseField(seed=int(rng.integers(1 << 63)), channels=clean.shape[1], sigma=self.spec.sigma)
        noise = field.at(draw.index_yx.astype(np.float64) + 0.5, threads=1)
        # Tissue masks steer sampling; only masks of *invalid* pixels may silence the loss.
        valid = picker.at(where) if image.source.mask_kind == "valid" else np.ones(draw.count, bool)
        embedding = self._embedding(image, picker, box)
        reference = None
        if self.spec.reference_points:  # last, so that what was drawn before is the same without
            other, _, values = drawn(self.spec.reference_points)
            reference = other, values
        return _Sample(draw, clean, noise, valid, ratio, image, embedding, reference)
