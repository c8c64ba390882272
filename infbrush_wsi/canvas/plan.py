"""The plan of a canvas: the global state of its generation, frame by frame, computed when first needed.

Plan, seed and model are the image: every tile at every level is computed from them without any other tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from infbrush_wsi.canvas.cloud import Cloud
from infbrush_wsi.canvas.dense_plan import SWEEP_PIXELS, swept_state
from infbrush_wsi.canvas.frames import FrameIndex
from infbrush_wsi.canvas.generator import Generator
from infbrush_wsi.canvas.plan_view import FramePart, PlanView
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.shared_cache import SharedCache
from infbrush_wsi.canvas.stage import Stage
from infbrush_wsi.canvas.trajectory import FramePoints, FrameState, run_frame
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import InfbrushError, PlanError
from infbrush_wsi.fields._threads import default_threads, run_parts


class Plan:
    """Frame states of all stages.

    Args:
        generator: model and settings.
        stages: the chain, finest first.
        cache: where computed states are kept.
        scratch: folder for files while a state is computed; None: the system's.
    """

    def __init__(
        self,
        generator: Generator,
        stages: Sequence[Stage],
        cache: SharedCache[FrameState],
        scratch: Path | None = None,
    ) -> None:
        self.generator, self.stages = generator, tuple(stages)
        self._cache, self._scratch = cache, scratch
        self._given: dict[str, FrameState] = {}
        self._bytes_per_node = 0.0

    def prepare(self, stage: Stage, tiles: Sequence[Box]) -> None:
        """Run side by side the frames that tiles need, coarsest stage first.

        Tiles ask for their frames themselves, but threads that render them then wait for each other's. Frames that
        would not stay in memory until their tiles are rendered are left to the tiles.

        Args:
            stage: of the tiles.
            tiles: the nodes of its grid that each of them touches.
        """
        if default_threads() == 1:
            return
        for of, frames in reversed(self._missing(stage, tiles)):
            first, *others = frames
            if not self._bytes_per_node:
                self.state(of, first)
                frames = others
            size = self._bytes_per_node * of.frames.box(first).shape.count
            if len(frames) * size <= self._cache.memory:
                run_parts(partial(self.state, of), frames, None)

    def _missing(self, stage: Stage, tiles: Sequence[Box]) -> list[tuple[Stage, list[FrameIndex]]]:
        """Frames that are not there yet, of a stage and of the coarser ones that guide them."""
        found = []
        frames = sorted({frame for nodes in tiles for frame in stage.frames.touching(nodes)})
        while frames := [frame for frame in frames if not self.has(stage, frame)]:
            found.append((stage, frames))
            if not stage.guide_nodes:
                break
            frames = sorted({f for frame in frames for f in self._guides(stage, stage.frame_pixels(frame))})
            stage = self.stages[stage.number + 1]
        return found

    def state(self, stage: Stage, frame: FrameIndex, progress: Progress | None = None) -> FrameState:
        """The state of a frame, run if nobody has done so yet; then `progress` is told (steps done, steps in all)."""
        key = frame_key(stage, frame)
        if key in self._given:
            return self._given[key]
        found: FrameState = self._cache.get(key, lambda: self.run(self.generator, stage, frame, progress))
        self._bytes_per_node = found.nbytes / stage.frames.box(frame).shape.count
        return found

    def states(self, stage: Stage, frames: Sequence[FrameIndex]) -> list[FrameState]:
        """The states of several frames, in order; those that another thread is about to finish are asked for last."""
        found: dict[FrameIndex, FrameState] = {}
        while len(found) < len(frames):
            missing = [frame for frame in frames if frame not in found]
            idle = (frame for frame in missing if not self._cache.busy(frame_key(stage, frame)))
            frame = next(idle, missing[0])
            found[frame] = self.state(stage, frame)
        return [found[frame] for frame in frames]

    def has(self, stage: Stage, frame: FrameIndex) -> bool:
        """Whether a frame's state is there."""
        key = frame_key(stage, frame)
        return key in self._given or key in self._cache

    def give(self, states: dict[str, FrameState]) -> None:
        """Use these states, as loaded from a file.

        Raises:
            PlanError: if one is of no frame of this canvas, or not of its size.
        """
        frames = {frame_key(stage, f): (stage, f) for stage in self.stages for f in _listed(stage, len(states))}
        for key, state in states.items():
            if key not in frames:
                raise PlanError(f"the plan has a frame {key!r}, which this canvas has not: make the plan again")
            self._check_fit(state, *frames[key])
        self._given |= states

    def _check_fit(self, state: FrameState, stage: Stage, frame: FrameIndex) -> None:
        box, steps = stage.frames.box(frame), len(self.generator.table)
        rows = len(state.present) + int(self.generator.guided)
        found = (len(state.grids), state.grids.shape[1], *state.grids.shape[3:], state.values.shape[1])
        wanted = (steps, rows, box.h, box.w, self.generator.denoiser.config.channels)
        if found != wanted or (state.guide is None) is bool(stage.guide_nodes):
            raise PlanError(
                f"the frame {frame} of the plan has the sizes {found} (steps, conditions, nodes, bands), not {wanted}: "
                "make the plan again"
            )

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Within the block, what fails because of a plan from a file is said to be its fault.

        Raises:
            PlanError: in place of other errors, if there is such a plan.
        """
        try:
            yield
        except InfbrushError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if not self._given:
                raise
            raise PlanError(
                f"the plan that was loaded does not fit this canvas ({type(error).__name__}: {error}); make it again"
            ) from error

    def known(self, stage: Stage) -> dict[str, FrameState]:
        """The states of all frames of a stage, computed where they are missing."""
        frames = [(i, j) for i in range(stage.frames.shape.h) for j in range(stage.frames.shape.w)]
        return {frame_key(stage, frame): self.state(stage, frame) for frame in frames}

    def view(self, stage: Stage, nodes: Box, present: Sequence[int]) -> PlanView:
        """What a tile that touches these nodes, under these conditions, needs of the plan."""
        frames = stage.frames.touching(nodes)
        states = self.states(stage, frames)
        parts = [FramePart.of(state, stage, frame, nodes) for state, frame in zip(states, frames, strict=True)]
        return PlanView(parts, nodes, tuple(present), stage, self.generator.guided)

    def run(
        self, generator: Generator, stage: Stage, frame: FrameIndex, progress: Progress | None = None
    ) -> FrameState:
        """Compute a state anew: on the frame's points, or on all pixels tile by tile if at once they are too many."""
        if generator.density == 1.0 and stage.pixels.count > SWEEP_PIXELS and self.sweepable(stage):
            return swept_state(generator, stage, self._scratch, progress)
        return run_frame(generator, stage, frame, self.coarse(stage, frame), progress)

    def sweepable(self, stage: Stage) -> bool:
        """Whether `dense_plan` can run it: one frame, one condition, no coarser stage."""
        return stage.number == 0 and stage.frames.count == 1 and self.generator.layout is None

    def coarse(self, stage: Stage, frame: FrameIndex) -> Cloud | None:
        """What guides a frame: the points of the next stage within it; None for the last stage."""
        return self._coarse(stage, stage.frame_pixels(frame)) if stage.guide_nodes else None

    def clouds(self, stage: Stage, frames: Sequence[FrameIndex]) -> Cloud:
        """The points of the frames' sparse runs."""
        states = self.states(stage, frames)
        return Cloud.joined([self._cloud(stage, f, state) for f, state in zip(frames, states, strict=True)])

    def _cloud(self, stage: Stage, frame: FrameIndex, state: FrameState) -> Cloud:
        points = FramePoints.drawn(self.generator, stage, frame)
        box = stage.frames.box(frame)
        if len(state.values) != len(points.absolute):
            raise PlanError(
                f"the frame {frame} of the plan has {len(state.values)} points, not {len(points.absolute)}: make it "
                "again"
            )
        cell = (points.absolute / stage.pitch).astype(np.int64) - np.asarray([box.y0, box.x0])
        cell = np.clip(cell, 0, np.asarray(box.shape.as_tuple()) - 1)
        unity = stage.frames.weights(frame, box)[cell[:, 0], cell[:, 1]]
        return Cloud(points.absolute, state.values.float().numpy(), points.draw.area * unity)

    def _coarse(self, stage: Stage, box: Box) -> Cloud:
        """The next stage's points within a box of training pixels of this one, in its coordinates."""
        above = self.stages[stage.number + 1]
        return self.clouds(above, self._guides(stage, box)).scaled(above.factor / stage.factor).inside(box)

    def _guides(self, stage: Stage, box: Box) -> list[FrameIndex]:
        """Frames of the next stage under a box of training pixels of this one."""
        above = self.stages[stage.number + 1]
        nodes = box.cells(above.pitch * above.factor / stage.factor).clip(above.frames.nodes)
        return above.frames.touching(nodes)


def _listed(stage: Stage, most: int) -> list[FrameIndex]:
    """Frames of a stage; of more than `most` none, as a plan from a file has all frames of a stage."""
    shape = stage.frames.shape
    return [(i, j) for i in range(shape.h) for j in range(shape.w)] if shape.count <= most else []


def frame_key(stage: Stage, frame: FrameIndex) -> str:
    """Name of a frame's state."""
    return f"{stage.number}/{frame[0]}/{frame[1]}"
