"""What it costs in accuracy that a plan is made on a part of the pixels: measured, frame by frame.

The same frame is run on all of its pixels, which is the fixed point that recomputing the global state from dense
features converges to (`plan_density=1` renders it). Points that both runs have are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from infbrush_wsi.canvas.dense_plan import SWEEP_PIXELS
from infbrush_wsi.canvas.frames import FrameIndex
from infbrush_wsi.canvas.plan import Plan
from infbrush_wsi.canvas.stage import Stage
from infbrush_wsi.canvas.trajectory import FramePoints
from infbrush_wsi.errors import RegionError


@dataclass(frozen=True)
class ProxyError:
    """Differences between a plan on points and one on all pixels.

    Attributes:
        frame: which.
        points: of the plan.
        pixels: of the frame.
        grid: relative root mean square difference of the grid features, for each step.
        grey_levels: mean absolute difference of T x_0 at the plan's points, in grey levels of 255.
    """

    frame: FrameIndex
    points: int
    pixels: int
    grid: tuple[float, ...]
    grey_levels: float


def proxy_error(plan: Plan, stage: Stage, frames: Sequence[FrameIndex]) -> list[ProxyError]:
    """Measure some frames of a stage.

    Args:
        plan: its states; those of the frames are computed if need be.
        stage: that the frames belong to.
        frames: (row, column) of each.

    Raises:
        RegionError: for frames of more than a million pixels, unless it is the only one and has one condition.
    """
    return [_of_frame(plan, stage, frame) for frame in frames]


def _of_frame(plan: Plan, stage: Stage, frame: FrameIndex) -> ProxyError:
    box = stage.frame_pixels(frame)
    if box.shape.count > SWEEP_PIXELS and not plan.sweepable(stage):
        raise RegionError(
            f"a frame of {box.w} x {box.h} pixels cannot be run on all pixels at once; measure on a smaller canvas, or "
            "without a layout"
        )
    sparse = plan.state(stage, frame)
    everywhere = replace(plan.generator, density=1.0)
    dense = plan.run(everywhere, stage, frame)
    points = FramePoints.drawn(plan.generator, stage, frame).draw.index_yx
    image = dense.values.float().numpy().reshape(box.h, box.w, -1)
    difference = np.abs(image[points[:, 0], points[:, 1]] - sparse.values.float().numpy())
    grids = [(a.float(), b.float()) for a, b in zip(sparse.grids, dense.grids, strict=True)]
    relative = tuple(float(((a - b).square().mean() / b.square().mean()).sqrt()) for a, b in grids)
    return ProxyError(frame, len(points), box.shape.count, relative, float(difference.mean() * 127.5))
