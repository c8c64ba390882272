"""Windows at the coarsest pixel size, and parts of them at random finer ones (INFD §3.3, from slides of any size)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from infbrush_wsi.conditioning.encoders.store import EmbeddingStore
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.operators.query import Query
from infbrush_wsi.sources.view import ResampledView
from infbrush_wsi.training.infd.batch import FieldBatch
from infbrush_wsi.training.window_dataset import TrainingImage, WindowDataset, stratified_times
from infbrush_wsi.training.windows import WindowPicker


@dataclass(frozen=True)
class FieldSampleSpec:
    """How a sample is drawn.

    Attributes:
        spacings: pixel sizes, finest first: the encoder sees the coarsest, targets lie between the first and the last
            on a logarithmic scale.
        window: side of the encoder's window in its pixels.
        patch: side of a target in its own pixels, at most the window.
        finest: probability that a target has the finest pixel size.
        tissue_fraction: see `WindowPicker`.
        flips: augment by the symmetries of the square.
        condition_drop: probability of a null condition.
        latent: shape and channels of the noise.
        batch: windows per process and step.
        seed: of the run.
    """

    spacings: tuple[float, ...]
    window: int
    patch: int
    finest: float
    tissue_fraction: float
    flips: bool
    condition_drop: float
    latent: tuple[Shape, int]
    batch: int
    seed: int


@dataclass(frozen=True)
class _Sample:
    coarse: NDArray[np.uint8]
    target: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    query: Query
    noise: NDArray[np.float32]
    image: TrainingImage
    embedding: NDArray[np.float32] | None


class FieldDataset(WindowDataset[FieldBatch]):
    """Item k is the batch of optimiser step k of this process, a function of the run's seed and k.

    Args:
        images: training images.
        spec: how samples are drawn.
        embeddings: of all images; None: their classes are the conditions.
        steps: length.
        rank: of this process.
        world: number of processes.
    """

    spec: FieldSampleSpec

    def __init__(
        self,
        images: Sequence[TrainingImage],
        spec: FieldSampleSpec,
        *,
        embeddings: EmbeddingStore | None = None,
        steps: int = 1,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(
            images,
            spacings=spec.spacings[-1:],
            window=spec.window,
            tissue_fraction=spec.tissue_fraction,
            seed=spec.seed,
            embeddings=embeddings,
        )
        self.spec, self.steps, self.rank, self.world = spec, steps, rank, world

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> FieldBatch:
        """The batch of a step."""
        batch = self.spec.batch
        samples = [self._sample(number) for number in self._numbers(step)]
        # Times and drops are drawn for all processes together: the global batch does not depend on how it is cut.
        rng, mine = self._rng("times", step), slice(self.rank * batch, (self.rank + 1) * batch)
        times = stratified_times(rng, self.world * batch)[mine]
        dropped = (rng.random(self.world * batch) < self.spec.condition_drop)[mine]
        return FieldBatch(
            image=_scaled([s.coarse for s in samples]),
            target=_scaled([s.target for s in samples]),
            valid=torch.from_numpy(np.stack([s.valid for s in samples]))[:, None],
            query=Query.stacked([s.query for s in samples]),
            condition=self._condition(samples).dropped(torch.from_numpy(dropped)),
            timestep=torch.from_numpy(times),
            noise=torch.from_numpy(np.stack([s.noise for s in samples])),
            origin=tuple(s.image.name for s in samples),
        )

    def _sample(self, number: int) -> _Sample:
        return self._readable(number, self._sample_of)

    def _sample_of(self, rng: np.random.Generator, image: TrainingImage, picker: WindowPicker, ratio: float) -> _Sample:
        spec = self.spec
        box = picker.draw(rng)
        symmetry = int(rng.integers(8)) if spec.flips else 0
        low, high = math.log(spec.spacings[0]), math.log(spec.spacings[-1])
        chosen, finest = math.exp(rng.uniform(low, high)), rng.random() < spec.finest
        view = image.source.at(spec.spacings[0] if finest else chosen)
        part, query = self._part(rng, picker.view, view, box)
        target = view.read(part, fill="reflect")
        # Tissue masks steer sampling; only masks of *invalid* pixels may silence the loss.
        known = image.source.mask_kind != "valid"
        valid = np.ones(part.shape.as_tuple(), bool) if known else _mask(picker, box, query)
        shape, channels = spec.latent
        return _Sample(
            _turned(picker.view.read(box), symmetry),
            _turned(target, symmetry),
            _turned(valid, symmetry),
            turned_query(query, spec.window, symmetry),
            rng.standard_normal((shape.count, channels), np.float32),
            image,
            self._embedding(image, picker, box),
        )

    def _part(
        self, rng: np.random.Generator, coarse: ResampledView, fine: ResampledView, box: Box
    ) -> tuple[Box, Query]:
        """A part of a window on the finer lattice, and where its pixels are in the window."""
        to_coarse = ~coarse.lattice.transform @ fine.lattice.transform
        to_fine, side = ~to_coarse, self.spec.patch
        starts = []
        for scale, shift, low in ((to_fine.e, to_fine.f, box.y0), (to_fine.a, to_fine.c, box.x0)):
            first, last = math.ceil(low * scale + shift), math.floor((low + box.w) * scale + shift) - side
            starts.append(int(rng.integers(first, max(first, last) + 1)))
        part = Box(starts[1], starts[0], side, side)
        origin = (to_coarse.f - box.y0, to_coarse.c - box.x0)
        return part, Query.window(part, (to_coarse.e, to_coarse.a), origin)


def turned_query(query: Query, side: int, symmetry: int) -> Query:
    """The query of a part of a window after a symmetry of the window's square, see `training.symmetry`.

    Args:
        query: one window.
        side: of the square in the query's coordinates.
        symmetry: 0..7.
    """
    order = [1, 0] if symmetry & 4 else [0, 1]
    cell = query.cell[:, order]
    corner = (query.origin + query.first * query.cell)[:, order]
    count = torch.tensor(query.shape.as_tuple())[order]
    for axis in (0, 1):
        if symmetry >> axis & 1:
            corner[:, axis] = side - corner[:, axis] - count[axis] * cell[:, axis]
    return Query(corner, cell, torch.zeros_like(query.first), Shape(*count.tolist()))


def _turned(pixels: NDArray[Any], symmetry: int) -> NDArray[Any]:
    """The same for an array (h, w) or (h, w, C)."""
    out = pixels.swapaxes(0, 1) if symmetry & 4 else pixels
    return out[:: -1 if symmetry & 1 else 1, :: -1 if symmetry & 2 else 1]


def _mask(picker: WindowPicker, box: Box, query: Query) -> NDArray[np.bool_]:
    """Validity at the pixels of a query, from the coarse mask."""
    rows, columns = (
        np.clip(np.floor(query.coordinates(axis)[0].numpy()).astype(int), 0, side - 1) + start
        for axis, side, start in ((0, box.h, box.y0), (1, box.w, box.x0))
    )
    index = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    return picker.at(index).reshape(len(rows), len(columns))


def _scaled(images: Sequence[NDArray[np.generic]]) -> torch.Tensor:
    """Grey values (h, w, C) → float32 (B, C, h, w) in [-1, 1]."""
    stacked = np.stack(images).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(stacked)).float() / 127.5 - 1
