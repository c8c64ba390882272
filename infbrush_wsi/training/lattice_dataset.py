"""Whole windows as lattices, for systems whose networks work on images; batch k is a pure function of (run, k)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.encoders.store import EmbeddingStore
from infbrush_wsi.domain import Shape
from infbrush_wsi.fields.covariance import NoiseLaw, SpectralField
from infbrush_wsi.points.pixel_cache import PixelCache
from infbrush_wsi.points.support import map_tensors
from infbrush_wsi.points.window_pixels import read_window
from infbrush_wsi.training.curriculum import coarsening
from infbrush_wsi.training.dataset import SampleSpec
from infbrush_wsi.training.symmetry import to_source_frame
from infbrush_wsi.training.window_dataset import TrainingImage, WindowDataset, stratified_times
from infbrush_wsi.training.windows import WindowPicker

Stages = Sequence[tuple[float, int]]


@dataclass(frozen=True)
class LatticeBatch:
    """B images on one lattice, points row by row.

    Attributes:
        clean: (B, H W, C) float32, values in [-1, 1] (times `NoiseLaw.value_scale`).
        noise: (B, H W, C) float32, coloured noise.
        weight: (B, H W) float32, zero at invalid pixels.
        shape: of the lattice.
        condition: of the images, some dropped.
        timestep: (B,) int64.
        origin: where each image came from, for messages.
    """

    clean: Tensor
    noise: Tensor
    weight: Tensor
    shape: Shape
    condition: ConditionBatch
    timestep: Tensor
    origin: tuple[str, ...]

    def to(self, device: torch.device | str) -> LatticeBatch:
        """The same on another device."""
        return map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> LatticeBatch:
        """The same in page-locked memory, from which a GPU copies while it computes; the loader calls this."""
        return map_tensors(self, Tensor.pin_memory)


@dataclass(frozen=True)
class _Window:
    clean: NDArray[np.float32]
    noise: NDArray[np.float32]
    weight: NDArray[np.float32]
    image: TrainingImage
    embedding: NDArray[np.float32] | None


class LatticeDataset(WindowDataset[LatticeBatch]):
    """Item k is the batch of whole windows of optimiser step k of this process.

    Args:
        images: training images.
        spec: how windows are drawn; its sampler of points, layout and mollifier have no part in it.
        law: of the noise.
        stages: of the curriculum, see `coarsening`.
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
        law: NoiseLaw,
        stages: Stages = (),
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
        self.spec, self.steps, self.rank, self.world = spec, steps, rank, world
        self.cache = PixelCache(cache_dir, limit_bytes=cache_bytes)
        self.law, self.stages = law, stages

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> LatticeBatch:
        """The batch of a step."""
        batch, factor = self.spec.batch, coarsening(self.stages, step, self.steps)
        windows = [self._cut(number, factor) for number in self._numbers(step)]
        rng, mine = self._rng("times", step), slice(self.rank * batch, (self.rank + 1) * batch)
        times = stratified_times(rng, self.world * batch)[mine]
        dropped = (rng.random(self.world * batch) < self.spec.condition_drop)[mine]
        side = self.spec.window // factor
        return LatticeBatch(
            clean=torch.from_numpy(np.stack([w.clean for w in windows])),
            noise=torch.from_numpy(np.stack([w.noise for w in windows])),
            weight=torch.from_numpy(np.stack([w.weight for w in windows])),
            shape=Shape(side, side),
            condition=self._condition(windows).dropped(torch.from_numpy(dropped)),
            timestep=torch.from_numpy(times),
            origin=tuple(w.image.name for w in windows),
        )

    def values(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Values (N, C) of window `number` of the run at its finest level, and their loss weights (N,)."""
        window = self._cut(number, 1)
        return window.clean, window.weight

    def _cut(self, number: int, factor: int) -> _Window:
        def cut(rng: np.random.Generator, image: TrainingImage, picker: WindowPicker, ratio: float) -> _Window:
            return self._window_of(rng, image, picker, factor)

        return self._readable(number, cut)

    def _window_of(self, rng: np.random.Generator, image: TrainingImage, picker: WindowPicker, factor: int) -> _Window:
        box, side = picker.draw(rng), self.spec.window
        symmetry = int(rng.integers(8)) if self.spec.flips else 0
        lattice = np.stack(np.divmod(np.arange(side**2), side), axis=1)
        where = to_source_frame(lattice, side, symmetry)
        pixels = read_window(self.cache, picker.view, box)
        clean = pixels[where[:, 0], where[:, 1]].astype(np.float32) / 127.5 - 1.0
        # Tissue masks steer sampling; only masks of *invalid* pixels may silence the loss.
        at = where + np.array([box.y0, box.x0])
        valid = picker.at(at) if image.source.mask_kind == "valid" else np.ones(side**2, bool)
        shape = Shape(side // factor, side // factor)
        field = SpectralField(self.law, int(rng.integers(1 << 63)), clean.shape[1])
        noise = field.on_lattice(shape).reshape(-1, clean.shape[1])
        scale = np.float32(self.law.value_scale(shape))
        return _Window(
            scale * _means(clean, side, factor),
            noise,
            _means(valid[:, None].astype(np.float32), side, factor)[:, 0],
            image,
            self._embedding(image, picker, box),
        )


def _means(values: NDArray[np.float32], side: int, factor: int) -> NDArray[np.float32]:
    """Means over `factor`² pixels of a square lattice: (side², C) → (side² / factor², C)."""
    if factor == 1:
        return values
    cut = values.reshape(side // factor, factor, side // factor, factor, -1)
    return np.asarray(cut.mean(axis=(1, 3), dtype=np.float64), np.float32).reshape(-1, values.shape[1])
