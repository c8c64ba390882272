"""The chain of canvases behind a large one: each coarser stage tells the next finer one what to contain.

A canvas that fits the network is one stage with one frame. A larger one is planned in frames, and guided by a coarser
picture of the same place: at the coarser pixel sizes that the model was trained with, as far as there are any, and
beyond them by the coarsest model as if the world looked alike at every scale. The last stage fits one frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from infbrush_wsi.canvas.frames import FrameIndex, FrameLattice
from infbrush_wsi.canvas.spec import CanvasSpec
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.points.grid import GridGeometry

WHOLE_SIDE = 1536
"""Side in training pixels of the largest canvas that is planned in one piece, by area; that takes about 2 GB."""
TOP_SIDE = 512
"""Side in training pixels of the coarsest stage."""
LARGEST_STEP = 3
"""Octaves between stages that no training fixes."""
FRAME_SIDE = 256
"""Frames have the side of the training window, but at least this many training pixels."""
COARSE_FRAME_SIDE = 128
"""The same in the coarser stages, of which a window needs little."""
GUIDE_CELLS = 4.0
"""Cell of the guidance in pixels of the coarser stage: in smaller ones there are too few points of its plan."""


@dataclass(frozen=True)
class Stage:
    """One canvas of the chain, in its own training pixels.

    Attributes:
        number: 0 is the canvas itself.
        factor: side of its training pixels in those of stage 0.
        extent: (height, width).
        unit: length of a training pixel in units of the canvas's lattice.
        log_magnification: log2 of the training pixel over the finest one trained.
        frames: its frames of grid nodes.
        pitch: side of a grid cell.
        guide_nodes: grid cells along the side of a cell of the guidance by the next stage; 0: not guided.
    """

    number: int
    factor: float
    extent: tuple[float, float]
    unit: float
    log_magnification: float
    frames: FrameLattice
    pitch: float
    guide_nodes: int = 0

    @property
    def pixels(self) -> Shape:
        """Rows and columns of whole training pixels that cover the extent."""
        return Shape(*(max(1, math.ceil(side - 1e-6)) for side in self.extent))

    @property
    def grid(self) -> GridGeometry:
        """All nodes."""
        return GridGeometry(self.frames.nodes, self.pitch)

    @cached_property
    def guide_frames(self) -> FrameLattice:
        """The same frames in cells of the guidance."""
        m, nodes = self.guide_nodes, self.frames.nodes
        return FrameLattice(Shape(nodes.h // m, nodes.w // m), self.frames.side // m, self.frames.overlap // m)

    @property
    def guide_grid(self) -> GridGeometry:
        """All cells of the guidance."""
        return GridGeometry(self.guide_frames.nodes, self.pitch * self.guide_nodes)

    def frame_pixels(self, frame: FrameIndex) -> Box:
        """The training pixels under a frame."""
        box = self.frames.box(frame)
        y0, x0 = math.floor(box.y0 * self.pitch), math.floor(box.x0 * self.pitch)
        y1, x1 = math.ceil(box.y1 * self.pitch - 1e-6), math.ceil(box.x1 * self.pitch - 1e-6)
        return Box(x0, y0, x1 - x0, y1 - y0).clip(self.pixels)


def make_stages(
    spec: CanvasSpec, base: float, spacings: Sequence[float], pitch: float, window: int
) -> tuple[Stage, ...]:
    """The chain for a canvas.

    Args:
        spec: shape and ratio of level 0, side of frames, whether coarser stages are wanted.
        base: trained pixel size of stage 0.
        spacings: all trained pixel sizes.
        pitch: side of a grid cell in training pixels.
        window: side of the training window.
    """
    extent = (spec.shape.h / spec.ratio, spec.shape.w / spec.ratio)
    unit = spec.lattice.spacing.x * spec.ratio
    factors = _factors(extent, base, spacings) if _in_frames(spec, extent) else [1.0]
    factors = factors if spec.coarse else factors[:1]
    stages = []
    for number, factor in enumerate(factors):
        own = (extent[0] / factor, extent[1] / factor)
        last = number + 1 == len(factors)
        step = 0.0 if last else factors[number + 1] / factor
        guide = 0 if last else max(1, math.ceil(GUIDE_CELLS * step / pitch - 1e-6))
        least = COARSE_FRAME_SIDE if number else FRAME_SIDE
        whole = last and (spec.coarse or not _in_frames(spec, extent))
        trained = min(spacings, key=lambda s: abs(math.log(s / (base * factor))))
        stages.append(
            Stage(
                number=number,
                factor=factor,
                extent=own,
                unit=unit * factor,
                log_magnification=math.log2(trained / min(spacings)),
                frames=_frames(own, pitch, spec.frame or max(window, least), guide, whole),
                pitch=pitch,
                guide_nodes=guide,
            )
        )
    return tuple(stages)


def _in_frames(spec: CanvasSpec, extent: tuple[float, float]) -> bool:
    if spec.frame is not None:
        return max(extent) > spec.frame
    return extent[0] * extent[1] > WHOLE_SIDE**2 or max(extent) > 4 * WHOLE_SIDE


def _factors(extent: tuple[float, float], base: float, spacings: Sequence[float]) -> list[float]:
    """Pixel sizes of the stages in training pixels of stage 0."""
    factors = [1.0]
    for spacing in sorted(spacings):
        if spacing / base > factors[-1] * 1.5 and max(extent) / factors[-1] > TOP_SIDE:
            factors.append(spacing / base)
    missing = math.ceil(math.log2(max(extent) / factors[-1] / TOP_SIDE) - 1e-9)
    if missing > 0 or len(factors) == 1:
        missing = max(missing, 1)
        last = factors[-1]
        octaves = [*range(LARGEST_STEP, missing, LARGEST_STEP), missing]
        factors += [last * 2.0**octave for octave in octaves]
    return factors


def _frames(extent: tuple[float, float], pitch: float, side: int, guide: int, whole: bool) -> FrameLattice:
    """Frames of whole cells of the guidance."""
    m = max(guide, 1)
    nodes = [m * max(1, math.ceil(length / (pitch * m) - 1e-9)) for length in extent]
    if whole:
        return FrameLattice(Shape(*nodes), max(nodes), 0)
    cells = max(4, math.ceil(side / (pitch * m) - 1e-9))
    return FrameLattice(Shape(*nodes), m * cells, m * max(1, cells // 8))


def check_stages(stages: Sequence[Stage], denoiser: Any) -> None:
    """Refuse frames for a network that has sums over all points besides the grid.

    Raises:
        ConfigError: if a stage has several frames and the network attends to all points.
    """
    several = any(stage.frames.count > 1 for stage in stages)
    if several and len(denoiser.barrier_reach(1.0)) > 2:
        raise ConfigError(
            "this model attends to all points of the image at once, so a canvas of this size cannot be planned in "
            "frames; use engine='joint', a smaller size, or a larger frame"
        )
