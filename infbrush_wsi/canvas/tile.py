"""One tile of a canvas, from noise to T x_0, by the plan alone: no other tile is needed.

The tile brings a halo along whose outer part is used up step by step, because each step looks `reach` pixels away. A
halo of reach x steps makes the tile exact; a shorter one is kept at its width until the rest suffices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infbrush_wsi.canvas.generator import Generator, Mixture
from infbrush_wsi.canvas.plan import Plan
from infbrush_wsi.canvas.plan_view import PlanView, touched_nodes
from infbrush_wsi.canvas.stage import Stage
from infbrush_wsi.domain import Box, Shape, centres
from infbrush_wsi.operators.barrier import run_with
from infbrush_wsi.operators.grid_transfer import grid_to_points
from infbrush_wsi.operators.one_thread import one_torch_thread
from infbrush_wsi.points.support import LatticeSupport

LEAST_HALO = 4


@dataclass(frozen=True)
class Lens:
    """A stage seen at one resolution.

    Attributes:
        generator: model and settings.
        plan: its global state.
        stage: which stage.
        ratio: pixels per training pixel of the stage.
        image: rows and columns of the whole image at that resolution.
    """

    generator: Generator
    plan: Plan
    stage: Stage
    ratio: float
    image: Shape

    @cached_property
    def reach(self) -> int:
        """How far a step looks away in pixels."""
        return int(self.generator.denoiser.barrier_reach(self.ratio)[-1])

    @property
    def exact_halo(self) -> int:
        """Pixels around a tile with which it does not depend on how the image is cut."""
        return self.reach * len(self.generator.table)

    @property
    def memory(self) -> int:
        """Past predictions that a step of the sampler needs."""
        return max(len(step.predictions) for step in self.generator.table) - 1

    @cached_property
    def margins(self) -> list[int]:
        """Width of the halo before each step, and zero after the last."""
        steps, halo = len(self.generator.table), self.generator.spec.halo
        limit = self.exact_halo if halo is None else max(LEAST_HALO, math.ceil(halo * self.ratio))
        return [min(limit, self.reach * (steps - k)) for k in range(steps)] + [0]

    def axes(self, region: Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rows and columns of a region in training pixels."""
        return centres(region.y0, region.h) / self.ratio, centres(region.x0, region.w) / self.ratio

    def nodes(self, region: Box) -> Box:
        """The nodes between which a region interpolates."""
        stage = self.stage
        (y0, y1), (x0, x1) = (
            touched_nodes(axis, stage.pitch, nodes)
            for axis, nodes in zip(self.axes(region), stage.frames.nodes.as_tuple(), strict=True)
        )
        return Box(x0, y0, x1 - x0, y1 - y0)

    def prepare(self, tiles: Sequence[Box]) -> None:
        """Run what tiles will need of the plan, see `Plan.prepare`."""
        self.plan.prepare(self.stage, [self.nodes(tile.pad(self.margins[0]).clip(self.image)) for tile in tiles])

    def clean(self, box: Box) -> NDArray[np.float32]:
        """T x_0 of a tile: float32 (h, w, C). Its bits depend on the box and nothing else."""
        with one_torch_thread(), torch.no_grad():
            run = TileRun(self, box, self.margins)
            run.advance(len(self.generator.table))
            return run.x.numpy()


class TileRun:
    """A tile on its way through the sampler.

    Args:
        lens: what is looked at.
        box: the tile.
        margins: width of the halo before each of the steps that are to be made, and after the last.
        first: number of the first of these steps.
        state: x and the past predictions on the tile with its first halo, (h, w, C) each, newest prediction first;
            None: noise, before step 0.
    """

    def __init__(
        self,
        lens: Lens,
        box: Box,
        margins: Sequence[int],
        first: int = 0,
        state: tuple[Tensor, list[Tensor]] | None = None,
    ) -> None:
        self.lens, self.box, self.margins, self.first = lens, box, margins, first
        self.number = first
        self._last: LatticeSupport | None = None
        self._last_guide: LatticeSupport | None = None
        self.region = self._region(first)
        self.mixture = self._mixture()
        self.rows = lens.generator.rows(self.mixture)
        self.view = self._view()
        self.x, self.past = state or (torch.from_numpy(self._noise(0, self.region)), [])

    def advance(self, end: int) -> None:
        """All steps up to number `end`."""
        while self.number < end:
            self._step(self.number)
            self.number += 1

    def _step(self, number: int) -> None:
        """One step; the region shrinks to what the next one needs."""
        step = self.lens.generator.table[number]
        clean = self._clean(number)
        after = self._region(number + 1)
        inner = after.relative_to(self.region).slices
        self.past = [clean, *self.past][: self.lens.memory + 1]
        self.past = [values[inner].contiguous() for values in self.past]
        fresh = torch.from_numpy(self._noise(number + 1, after)) if step.noise else None
        self.x = step.apply(self.x[inner], self.past, fresh)
        self.past = self.past[: self.lens.memory]
        if self.mixture.weights is not None:
            weights = self.mixture.weights.reshape(self.region.h, self.region.w, -1)[inner]
            self.mixture = replace(self.mixture, weights=weights.reshape(after.shape.count, -1))
        self.region = after

    def _clean(self, number: int) -> Tensor:
        """T x̂_0 on the region, (h, w, C)."""
        generator, region = self.lens.generator, self.region
        support = self._support(region)
        x = self.x.reshape(1, -1, generator.channels)
        step = generator.table[number]
        with generator.precision():
            program = generator.program(x, support, step, self.rows, self.lens.stage.log_magnification)
            output = run_with(program, self.view.values(number, generator.denoiser.device))
        assert isinstance(output, Tensor)  # noqa: S101
        clean = generator.clean(x, output, step, self.mixture)
        guide = self.view.guide(number)
        if guide is not None:
            clean = (clean + grid_to_points(guide, self._guide_support(region))).clamp(-1.0, 1.0)
        return clean.reshape(region.h, region.w, -1)

    def _support(self, region: Box) -> LatticeSupport:
        """Of the region, with the weights to its nodes; the same as in the last step while the halo stays as it is."""
        if self._last is None or self._last.box != region:
            lens, rows = self.lens, len(self.rows.null)
            device = lens.generator.denoiser.device
            self._last = LatticeSupport(region, region, lens.image, lens.ratio, lens.stage.grid, rows, device)
        return self._last

    def _guide_support(self, region: Box) -> LatticeSupport:
        """The same with the cells of the guidance for nodes, on the CPU."""
        if self._last_guide is None or self._last_guide.box != region:
            grid = self.lens.stage.guide_grid
            self._last_guide = LatticeSupport(region, region, self.lens.image, self.lens.ratio, grid)
        return self._last_guide

    def _region(self, number: int) -> Box:
        return self.box.pad(self.margins[number - self.first]).clip(self.lens.image)

    def _noise(self, number: int, region: Box) -> NDArray[np.float32]:
        field = self.lens.generator.noise(self.lens.stage.number, number)
        origin, first = (0.0, 0.0), (region.y0, region.x0)
        return field.on_lattice(origin, 1.0 / self.lens.ratio, region.shape, first_yx=first, threads=1)

    def _mixture(self) -> Mixture:
        y, x = self.lens.axes(self.region)
        return self.lens.generator.mixture_on(y * self.lens.stage.unit, x * self.lens.stage.unit)

    def _view(self) -> PlanView:
        return self.lens.plan.view(self.lens.stage, self.lens.nodes(self.region), self.mixture.present)
