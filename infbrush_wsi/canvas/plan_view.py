"""What a tile sees of the plan: the states of the frames that it touches, blended by their partition of unity.

The blend is made in every step, of what the network's global part hands to the points, not of finished images: each
pixel follows one trajectory, so nothing is averaged that could blur.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infbrush_wsi.canvas.frames import FrameIndex, FrameLattice
from infbrush_wsi.canvas.stage import Stage
from infbrush_wsi.canvas.trajectory import FrameState
from infbrush_wsi.domain import Box
from infbrush_wsi.operators.partial import GridWindow


@dataclass(frozen=True)
class FramePart:
    """A frame as a tile sees it."""

    state: FrameState
    grid: Part
    guide: Part | None

    @classmethod
    def of(cls, state: FrameState, stage: Stage, frame: FrameIndex, nodes: Box) -> FramePart:
        """Of a frame that touches these nodes."""
        guide = Part.of(stage.guide_frames, frame, guide_cells(stage, nodes)) if stage.guide_nodes else None
        return cls(state, Part.of(stage.frames, frame, nodes), guide)


@dataclass(frozen=True)
class Part:
    """The part of a window of nodes that a frame covers.

    Attributes:
        inside: slices of the window.
        own: slices of the frame.
        weight: (h, w) float32 partition of unity there.
    """

    inside: tuple[slice, slice]
    own: tuple[slice, slice]
    weight: Tensor

    @classmethod
    def of(cls, frames: FrameLattice, frame: FrameIndex, nodes: Box) -> Part:
        """Of frame and window."""
        box = frames.box(frame)
        common = box.intersect(nodes)
        weight = torch.from_numpy(frames.weights(frame, common))
        return cls(common.relative_to(nodes).slices, common.relative_to(box).slices, weight)


@dataclass(frozen=True)
class PlanView:
    """Blended global values for one tile.

    Attributes:
        parts: the frames that it touches.
        nodes: window of nodes.
        present: the tile's conditions.
        stage: of the tile.
        guided: whether an unconditional row comes last.
    """

    parts: list[FramePart]
    nodes: Box
    present: tuple[int, ...]
    stage: Stage
    guided: bool

    def values(self, step: int, device: torch.device | str) -> list[Any]:
        """What the network's barriers receive in a step, in their order."""
        grid = GridWindow(self._grid(step).to(device), (self.nodes.y0, self.nodes.x0))
        only = self.parts[0].state.sums[step]
        return [grid if value is None else tuple(part.to(device) for part in value) for value in only]

    def guide(self, step: int) -> GridWindow | None:
        """The correction towards the coarser stage; None without one."""
        if not self.stage.guide_nodes:
            return None
        cells = guide_cells(self.stage, self.nodes)
        total = None
        for part in self.parts:
            assert part.state.guide is not None  # noqa: S101
            assert part.guide is not None  # noqa: S101
            values = part.state.guide[step][(slice(None), *part.guide.own)].float() * part.guide.weight
            total = torch.zeros(len(values), cells.h, cells.w) if total is None else total
            total[(slice(None), *part.guide.inside)] += values
        assert total is not None  # noqa: S101
        return GridWindow(total[None], (cells.y0, cells.x0))

    def _grid(self, step: int) -> Tensor:
        """(rows, C, h, w) float32; a condition that a frame was not run with counts in the others only."""
        rows = len(self.present) + int(self.guided)
        channels = self.parts[0].state.grids.shape[2]
        total = torch.zeros(rows, channels, self.nodes.h, self.nodes.w)
        share = torch.zeros(rows, 1, self.nodes.h, self.nodes.w)
        for part in self.parts:
            grid = part.state.grids[step]
            for row, own in self._rows(part.state):
                values = grid[own][(slice(None), *part.grid.own)].float()
                total[(row, slice(None), *part.grid.inside)] += values * part.grid.weight
                share[(row, slice(None), *part.grid.inside)] += part.grid.weight
        return total / torch.where(share > 0, share, 1.0)

    def _rows(self, state: FrameState) -> list[tuple[int, int]]:
        """(row of the tile, row of the frame) of what both have."""
        rows = [(i, state.present.index(c)) for i, c in enumerate(self.present) if c in state.present]
        if self.guided:
            rows.append((len(self.present), len(state.present)))
        return rows


def guide_cells(stage: Stage, nodes: Box) -> Box:
    """Cells of the guidance around a window of nodes, with one more for interpolation."""
    m, total = stage.guide_nodes, stage.guide_frames.nodes
    y0, x0 = nodes.y0 // m - 1, nodes.x0 // m - 1
    y1, x1 = -(-nodes.y1 // m) + 1, -(-nodes.x1 // m) + 1
    return Box(x0, y0, x1 - x0, y1 - y0).clip(total)


def touched_nodes(axis: NDArray[np.float64], pitch: float, nodes: int) -> tuple[int, int]:
    """(first, end) of the nodes between which coordinates are interpolated."""
    at = np.clip(np.array([axis[0], axis[-1]]) / pitch - 0.5, 0.0, nodes - 1.0)
    return int(np.floor(at[0])), min(int(np.floor(at[1])) + 2, nodes)
