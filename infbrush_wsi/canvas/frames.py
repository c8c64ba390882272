"""Overlapping frames of grid nodes that cover a canvas, and the partition of unity that blends them.

A canvas beyond the model's own extent is planned frame by frame. Frames are rectangles of nodes; what the network's
global part says in each of them is blended with weights that sum to one at every node.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import ConfigError

FrameIndex = tuple[int, int]


@dataclass(frozen=True)
class FrameLattice:
    """Frames of about `side` nodes that overlap by `overlap` nodes.

    The last frame of an axis takes what is left, from half to one and a half times a stride more than the overlap.

    Attributes:
        nodes: rows and columns of nodes of the whole canvas.
        side: nodes of a frame along an axis.
        overlap: nodes that neighbours share.

    Raises:
        ConfigError: if frames would overlap by half of their side or more, or not at all.
    """

    nodes: Shape
    side: int
    overlap: int

    def __post_init__(self) -> None:
        if not (self.side >= 1 and 0 < 2 * self.overlap < self.side) and self.count > 1:
            raise ConfigError(
                f"frames of {self.side} nodes must overlap by at least one and less than half of them, "
                f"not {self.overlap}"
            )

    @property
    def count(self) -> int:
        """Number of frames."""
        return self.shape.count

    @property
    def shape(self) -> Shape:
        """Rows and columns of frames."""
        return Shape(*(len(_spans(n, self.side, self.overlap)) for n in self.nodes.as_tuple()))

    def box(self, frame: FrameIndex) -> Box:
        """The nodes of frame (row, column)."""
        (y0, y1), (x0, x1) = (
            _spans(n, self.side, self.overlap)[i] for n, i in zip(self.nodes.as_tuple(), frame, strict=True)
        )
        return Box(x0, y0, x1 - x0, y1 - y0)

    def touching(self, nodes: Box) -> list[FrameIndex]:
        """Frames that hold any of these nodes, row by row."""
        axes = []
        for total, start, stop in ((self.nodes.h, nodes.y0, nodes.y1), (self.nodes.w, nodes.x0, nodes.x1)):
            spans = _spans(total, self.side, self.overlap)
            stride = max(self.side - self.overlap, 1)
            near = range(max(0, start // stride - 2), min(len(spans), stop // stride + 1))
            axes.append([i for i in near if spans[i][0] < stop and spans[i][1] > start])
        return [(i, j) for i in axes[0] for j in axes[1]]

    def weights(self, frame: FrameIndex, nodes: Box) -> NDArray[np.float32]:
        """The partition of unity: (nodes.h, nodes.w) weights of a frame, zero outside of it."""
        axes = []
        for total, i, start, count in (
            (self.nodes.h, frame[0], nodes.y0, nodes.h),
            (self.nodes.w, frame[1], nodes.x0, nodes.w),
        ):
            spans = _spans(total, self.side, self.overlap)
            axes.append(_ramps(spans, i, np.arange(start, start + count), self.overlap))
        return np.asarray(axes[0][:, None] * axes[1][None, :], np.float32)


@lru_cache(maxsize=64)
def _spans(nodes: int, side: int, overlap: int) -> tuple[tuple[int, int], ...]:
    """(first node, end) of the frames along an axis."""
    if nodes <= side:
        return ((0, nodes),)
    stride = side - overlap
    count = max(1, round((nodes - overlap) / stride))
    return tuple((i * stride, i * stride + side if i + 1 < count else nodes) for i in range(count))


def _ramps(spans: tuple[tuple[int, int], ...], i: int, at: NDArray[np.integer], overlap: int) -> NDArray[np.float64]:
    """Weights of frame `i` at nodes: one inside, a straight ramp over each overlap."""
    start, stop = spans[i]
    weight = ((at >= start) & (at < stop)).astype(np.float64)
    if i > 0:
        weight *= np.clip((at - start + 0.5) / overlap, 0.0, 1.0)
    if i + 1 < len(spans):
        weight *= np.clip((stop - at - 0.5) / overlap, 0.0, 1.0)
    return weight
