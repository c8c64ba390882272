"""Whole-canvas rendering in bounded memory: all tiles advance step by step.

In every step the network is run on each tile (with the halo that its layers look away) up to its next global sum; the
parts of the sum are added in a fixed order, finished once, and given to all tiles (`operators.barrier`). So the result
is the one-piece evaluation to rounding, for any tile size. The state lives in files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dask.base import compute
from dask.delayed import delayed
from numpy.typing import NDArray
from torch import Tensor

from infbrush_wsi.canvas.generator import running_in
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.spec import CanvasSpec
from infbrush_wsi.canvas.state import StateArray
from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.guidance import guided
from infbrush_wsi.diffusion.process import MollifiedProcess
from infbrush_wsi.diffusion.steps import Step, make_scheduler, step_table
from infbrush_wsi.domain import Box, tiles
from infbrush_wsi.fields.noise import NoiseField
from infbrush_wsi.operators.barrier import Barrier, Program, resume, run_with
from infbrush_wsi.operators.partial import Partial
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.support import LatticeSupport

TILES_AT_ONCE = 8
KEEP_BYTES = 2 << 30


@dataclass
class StepEngine:
    """Renders T x_0 of a canvas into a file.

    Attributes:
        denoiser: the network, in evaluation mode.
        process: its diffusion process.
        spec: what to render.
        condition: the specification's condition, batch of one.
        sigma: of the noise field in training pixels.
        folder: for scratch files.
        scheduler: Dask scheduler that runs the tiles of a pass; torch uses all cores within a tile, so on one machine
            'synchronous' is as fast as it gets.
        keep_bytes: memory for tiles that wait at a global sum with their features; tiles beyond it start anew, which
            costs up to the share of the layers before the sum.
        nodes: of the grid; None: as many as cover the canvas.
        record: called with (step, the sum of all parts, its finished value) at every global sum.
    """

    denoiser: Any
    process: MollifiedProcess
    spec: CanvasSpec
    condition: ConditionBatch
    sigma: float
    folder: Path
    scheduler: str = "synchronous"
    keep_bytes: int = KEEP_BYTES
    nodes: GridGeometry | None = None
    record: Callable[[int, Partial, Any], None] | None = None

    def __post_init__(self) -> None:
        shape, ratio = self.spec.shape, self.spec.ratio
        self.spec.check_resolution(self.denoiser.config.grid_pitch)
        covering = GridGeometry.covering(shape.h / ratio, shape.w / ratio, self.denoiser.config.grid_pitch)
        self.grid = self.nodes or covering
        self.table = step_table(
            make_scheduler(self.spec.scheduler, self.process.config.schedule), self.spec.steps, self.spec.eta
        )
        self.reach = self.denoiser.barrier_reach(ratio)
        self.boxes = list(tiles(shape, self.spec.tile))
        self.guided = self.spec.guidance_scale != 1.0
        self.batch = self.condition.with_unconditional() if self.guided else self.condition
        self.batch = self.batch.to(self.denoiser.device)
        self.kept = self._kept()

    @property
    def work(self) -> int:
        """Tiles to evaluate in all, counting every pass over the canvas."""
        return len(self.boxes) * (len(self.table) * len(self.reach) + 1)

    def render(self, progress: Progress | None = None) -> StateArray:
        """Run all steps.

        Args:
            progress: called with (tiles done, tiles in all).

        Returns:
            T x_0, float32 (h, w, C); the caller removes it.

        Raises:
            OutputError: if the scratch disk is full; scratch files are removed.
        """
        count = _Counter(progress, self.work)
        channels = self.denoiser.config.channels
        memory = max(len(step.predictions) for step in self.table)
        names = ["state-a", "state-b", *(f"prediction-{k}" for k in range(memory))]
        paths = [self.folder / f"{name}.raw" for name in names]
        try:
            files = [StateArray(path, self.spec.shape, channels) for path in paths]
            now, after, past = files[0], files[1], files[2:]
            for box in self.boxes:
                now.write(box, self._noise(box, stream=0))
                count.add()
            for number, step in enumerate(self.table):
                past = [past[-1], *past[:-1]]  # the oldest prediction makes room for the new one
                self._advance(step, number, now, after, past, count)
                now, after = after, now
        except BaseException:
            for path in paths:
                path.unlink(missing_ok=True)
            raise
        for file in (after, *past):
            file.remove()
        return now

    def _advance(
        self, step: Step, number: int, now: StateArray, after: StateArray, past: Sequence[StateArray], count: _Counter
    ) -> None:
        """One sampler step of the whole canvas: one pass for each global sum, and one for the output."""
        known: list[Any] = []
        waiting: dict[Box, Program] = {}
        timestep = torch.tensor([step.timestep], device=self.denoiser.device)
        for reach in self.reach:
            total: Any = None
            barrier: Barrier | None = None
            evaluate = partial(self._evaluate, reach=reach, now=now, timestep=timestep, known=known, waiting=waiting)
            for box, result in self._map(evaluate):
                if isinstance(result, Barrier):
                    total, barrier = result.partial.added_to(total), result
                else:
                    self._finish(box, result, step, number, now, after, past)
                count.add()
            if barrier is not None:
                with torch.no_grad(), running_in(self.spec.precision, self.denoiser.device):
                    known.append(barrier.finish(total))
                if self.record is not None:
                    self.record(number, total, known[-1])

    def _map(self, evaluate: Callable[[Box], Any]) -> Iterator[tuple[Box, Any]]:
        """Evaluate all tiles through Dask, a few at a time, results in order."""
        for first in range(0, len(self.boxes), TILES_AT_ONCE):
            some = self.boxes[first : first + TILES_AT_ONCE]
            tasks = [delayed(evaluate)(box) for box in some]
            yield from zip(some, compute(*tasks, scheduler=self.scheduler), strict=True)

    @torch.no_grad()
    def _evaluate(
        self,
        box: Box,
        reach: int,
        now: StateArray,
        timestep: Tensor,
        known: list[Any],
        waiting: dict[Box, Program],
    ) -> Barrier | Tensor:
        """The network on a tile up to the first unknown global sum, or its output on the tile without halo."""
        with running_in(self.spec.precision, self.denoiser.device):
            if box in waiting:
                result = resume(waiting[box], known[-1])
            else:
                keep = box in self.kept
                program = self._program(box, self.reach[-1] if keep else reach, now, timestep)
                result = run_with(program, known, suspend=keep)
                if keep:
                    waiting[box] = program
            if isinstance(result, Barrier):
                _ = result.partial  # measured here, by the tile's task and without gradients
                return result
        waiting.pop(box, None)
        wide = box.pad(self.reach[-1]).clip(self.spec.shape)
        inner = box.relative_to(wide)
        return result.float().reshape(len(self.batch.null), wide.h, wide.w, -1)[(slice(None), *inner.slices)]

    def _program(self, box: Box, reach: int, now: StateArray, timestep: Tensor) -> Program:
        """The network on a tile with a halo of `reach` pixels."""
        wide = box.pad(reach).clip(self.spec.shape)
        device = self.denoiser.device
        copies = len(self.batch.null)
        support = LatticeSupport(wide, box, self.spec.shape, self.spec.ratio, self.grid, copies, device)
        x = torch.from_numpy(now.read(wide)).to(device).reshape(1, -1, now.channels)
        scaled = self.process.network_input(x, timestep).expand(copies, -1, -1)
        magnification = torch.full((copies,), self.spec.log_magnification, device=device)
        program: Program = self.denoiser.program(scaled, support, timestep.expand(copies), self.batch, magnification)
        return program

    def _kept(self) -> frozenset[Box]:
        """The first tiles, as many as may wait with the features of their layers before the grid."""
        config = self.denoiser.config
        side = self.spec.tile + 2 * self.reach[-1]
        tile_bytes = len(self.batch.null) * side**2 * 4 * config.width * (config.blocks + 2)
        return frozenset(self.boxes[: self.keep_bytes // tile_bytes])

    def _finish(
        self,
        box: Box,
        output: Tensor,
        step: Step,
        number: int,
        now: StateArray,
        after: StateArray,
        past: Sequence[StateArray],
    ) -> None:
        """Sampler update of a tile."""
        output = guided(output, self.spec.guidance_scale) if self.guided else output
        output = output.reshape(1, -1, now.channels).cpu()
        x = torch.from_numpy(now.read(box)).reshape(1, -1, now.channels)
        clean = self.process.clean(x, output, torch.tensor([step.timestep]))
        past[0].write(box, clean.reshape(box.h, box.w, -1).numpy())
        older = [torch.from_numpy(p.read(box)).reshape(x.shape) for p in past[1 : len(step.predictions)]]
        fresh = torch.from_numpy(self._noise(box, stream=number + 1)).reshape(x.shape) if step.noise else None
        after.write(box, step.apply(x, [clean, *older], fresh).reshape(box.h, box.w, -1).numpy())

    def _noise(self, box: Box, stream: int) -> NDArray[np.float32]:
        """T ξ on a tile, from the field that is the same for every tile and every resolution."""
        field = NoiseField(self.spec.seed, self.denoiser.config.channels, sigma=self.sigma, stream=stream)
        return field.on_lattice((0.0, 0.0), 1.0 / self.spec.ratio, box.shape, first_yx=(box.y0, box.x0))


class _Counter:
    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def add(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)
