"""The regular grid inside the denoiser: where its nodes are, and the weights by which points reach them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Shape


@dataclass(frozen=True)
class GridGeometry:
    """Nodes at the centres of square cells that cover an extent.

    Node (a, b) lies at ``y = (a + 0.5) * pitch, x = (b + 0.5) * pitch`` in training pixels. The pitch is physical: a
    larger canvas has more nodes, not wider cells.

    Attributes:
        shape: rows and columns of nodes.
        pitch: side of a cell in training pixels.
    """

    shape: Shape
    pitch: float

    @classmethod
    def covering(cls, height: float, width: float, pitch: float) -> GridGeometry:
        """The grid that covers `height` x `width` training pixels (a last partial cell is a whole one)."""
        tolerance = 1e-9  # 4096 px / 32 px must not become 129 nodes by rounding
        rows, columns = (max(1, math.ceil(side / pitch - tolerance)) for side in (height, width))
        return cls(Shape(rows, columns), pitch)


def linear_taps(coordinates: NDArray[np.floating], pitch: float, nodes: int) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
    """Linear interpolation weights along one axis, constant beyond the first and last node.

    Args:
        coordinates: (N,) in training pixels.
        pitch: node distance in training pixels.
        nodes: number of nodes.

    Returns:
        index (N, 2) int64 and weight (N, 2) float64; weights sum to one.
    """
    g = np.clip(np.asarray(coordinates, np.float64) / pitch - 0.5, 0.0, nodes - 1.0)
    low = np.minimum(np.floor(g).astype(np.int64), max(nodes - 2, 0))
    high = np.minimum(low + 1, nodes - 1)
    fraction = g - low
    return np.stack([low, high], 1), np.stack([1.0 - fraction, fraction], 1)
