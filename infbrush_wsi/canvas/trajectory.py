"""The sparse run of a frame: the sampler on points as in training, and what crosses the network's global sums.

That record is all that a tile needs of the rest of the frame (∞-Brush canvas: cached global trajectory).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infbrush_wsi.canvas.cloud import Cloud
from infbrush_wsi.canvas.frames import FrameIndex
from infbrush_wsi.canvas.generator import Generator, Mixture
from infbrush_wsi.canvas.guide import Guide
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.stage import Stage
from infbrush_wsi.domain import Box
from infbrush_wsi.operators.barrier import Program
from infbrush_wsi.operators.one_thread import one_torch_thread
from infbrush_wsi.operators.partial import GridPartial
from infbrush_wsi.points.draw import Draw
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.prepare import Layout as MapLayout
from infbrush_wsi.points.prepare import scatter_support
from infbrush_wsi.points.samplers import UniformSampler
from infbrush_wsi.points.support import ScatterSupport

FEWEST_POINTS = 256


@dataclass(frozen=True)
class FrameState:
    """What a frame's sparse run leaves.

    Attributes:
        present: conditions of the layout that the frame was run with; under guidance one more row follows.
        grids: (steps, rows, C, a, b) float16, what the grid gives back to the points.
        sums: for each step the other global values in the order of their barriers; None stands for the grid.
        guide: (steps, C, cells, cells) float16 corrections towards the coarser stage; None without one.
        values: (N, C) float16, T x_0 at the frame's points.
    """

    present: tuple[int, ...]
    grids: Tensor
    sums: tuple[tuple[Any, ...], ...]
    guide: Tensor | None
    values: Tensor

    @property
    def nbytes(self) -> int:
        """Memory of the record."""
        tensors = [self.grids, self.values, *([] if self.guide is None else [self.guide])]
        tensors += [tensor for step in self.sums for value in step if value is not None for tensor in value]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass(frozen=True)
class FramePoints:
    """The points of a frame.

    Attributes:
        draw: pixels within the frame.
        pixels: the frame's box of training pixels.
        nodes: the frame's box of grid nodes.
        pitch: side of a grid cell.
    """

    draw: Draw
    pixels: Box
    nodes: Box
    pitch: float

    @classmethod
    def drawn(cls, generator: Generator, stage: Stage, frame: FrameIndex) -> FramePoints:
        """Points as dense as in training, drawn by seed, stage and frame."""
        pixels = stage.frame_pixels(frame)
        rng = np.random.default_rng([generator.spec.seed, stage.number, *frame])
        count = min(max(round(generator.density * pixels.shape.count), FEWEST_POINTS), pixels.shape.count)
        sampler = generator.sampler if count < pixels.shape.count else UniformSampler()
        return cls(sampler.draw(rng, pixels.shape, count), pixels, stage.frames.box(frame), stage.pitch)

    @property
    def absolute(self) -> NDArray[np.float64]:
        """(N, 2) coordinates in the stage."""
        corner = np.asarray([self.pixels.y0, self.pixels.x0], np.float64)
        return np.asarray(self.draw.index_yx + 0.5 + corner, np.float64)

    @property
    def corner(self) -> tuple[float, float]:
        """(y, x) of the first grid cell in training pixels."""
        return self.nodes.y0 * self.pitch, self.nodes.x0 * self.pitch

    def support(self, generator: Generator, stage: Stage, rows: int) -> ScatterSupport:
        """The maps of the points, the same for `rows` conditions, with coordinates in the whole stage."""
        config = generator.denoiser.config
        found = scatter_support(
            [self.draw] * rows,
            self.pixels.shape,
            MapLayout(config.kernel_size, config.grid_pitch, config.transfer),
            grid=GridGeometry(self.nodes.shape, self.pitch),
            offset_yx=(self.pixels.y0 - self.corner[0], self.pixels.x0 - self.corner[1]),
        )
        coords = torch.from_numpy(self.absolute).float().expand(rows, -1, -1)
        return replace(found, coords=coords, extent=stage.extent)


def run_frame(
    generator: Generator, stage: Stage, frame: FrameIndex, coarse: Cloud | None, progress: Progress | None = None
) -> FrameState:
    """All steps of a frame; its bits do not depend on the number of threads or of other frames.

    Args:
        generator: model and settings.
        stage: that the frame belongs to.
        frame: which.
        coarse: the coarser stage's T x_0 within the frame, in training pixels of this stage; None: not guided.
        progress: called with (steps done, steps in all).
    """
    with one_torch_thread(), torch.no_grad():
        return _run_frame(generator, stage, frame, coarse, progress or (lambda done, total: None))


def _run_frame(
    generator: Generator, stage: Stage, frame: FrameIndex, coarse: Cloud | None, progress: Progress
) -> FrameState:
    points = FramePoints.drawn(generator, stage, frame)
    mixture = _frame_mixture(generator, stage, points)
    rows = generator.rows(mixture)
    support = points.support(generator, stage, len(rows.null)).to(generator.denoiser.device)
    guide = None if coarse is None else _guide(stage, frame, points, coarse)
    x = torch.from_numpy(generator.noise(stage.number, 0).at(points.absolute, threads=1))[None]
    past: list[Tensor] = []
    record: list[tuple[tuple[Any, ...], Tensor]] = []
    guided: list[Tensor] = []
    for number, step in enumerate(generator.table):
        with generator.precision():
            program = generator.program(x, support, step, rows, stage.log_magnification)
            output, values = _run(program)
        record.append(values)
        clean = generator.clean(x, output, step, mixture)
        if guide is not None:
            difference = guide.difference(clean[0].numpy())
            guided.append(torch.from_numpy(difference))
            clean = (clean + torch.from_numpy(guide.spread(difference))).clamp(-1.0, 1.0)
        past = [clean, *past][: len(step.predictions)]
        fresh = None
        if step.noise:
            fresh = torch.from_numpy(generator.noise(stage.number, number + 1).at(points.absolute, threads=1))[None]
        x = step.apply(x, past, fresh)
        progress(number + 1, len(generator.table))
    return FrameState(
        mixture.present,
        torch.stack([grid for _, grid in record]),
        tuple(sums for sums, _ in record),
        _guide_tensor(stage, frame, guided) if guided else None,
        x[0].to(torch.float16),
    )


def _run(program: Program) -> tuple[Tensor, tuple[tuple[Any, ...], Tensor]]:
    """The network's output; the values of its sums, with the grid apart and rounded to what is stored."""
    sums: list[Any] = []
    grid: Tensor | None = None
    try:
        barrier = next(program)
        while True:
            value = barrier.finish(barrier.partial)
            if isinstance(barrier.partial, GridPartial):
                grid = value.to(torch.float16).cpu()
                sums.append(None)
                value = grid.to(value)
            else:
                sums.append(tuple(part.cpu() for part in value))
            barrier = program.send(value)
    except StopIteration as done:
        assert grid is not None  # noqa: S101
        return done.value, (tuple(sums), grid)


def _frame_mixture(generator: Generator, stage: Stage, points: FramePoints) -> Mixture:
    """All conditions that occur anywhere in the frame, with their weights at the points."""
    found = generator.mixture_at(points.absolute * stage.unit)
    if generator.layout is None:
        return found
    layout = generator.layout
    nodes = points.pixels.cells(layout.cell / stage.unit).pad(2)
    present = tuple(int(i) for i in np.unique(layout.index(nodes)))
    if len(present) == 1:
        return Mixture(present)
    weights = torch.zeros(len(points.absolute), len(present))
    for column, index in enumerate(found.present):
        at = present.index(index)
        weights[:, at] = 1.0 if found.weights is None else found.weights[:, column]
    return Mixture(present, weights)


def _guide(stage: Stage, frame: FrameIndex, points: FramePoints, coarse: Cloud) -> Guide:
    cells = stage.guide_frames.box(frame)
    grid = GridGeometry(cells.shape, stage.pitch * stage.guide_nodes)
    corner = np.asarray(points.corner)
    local = replace(coarse, where=coarse.where - corner)
    return Guide.of_points(points.absolute - corner, points.draw.area, grid, local)


def _guide_tensor(stage: Stage, frame: FrameIndex, guided: list[Tensor]) -> Tensor:
    cells = stage.guide_frames.box(frame)
    stacked = torch.stack(guided)
    return stacked.reshape(len(guided), cells.h, cells.w, -1).permute(0, 3, 1, 2).contiguous()
