"""Bilinear weights between the nodes of a square lattice."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.errors import RegionError

MAX_VALUES = 1 << 27
"""Most nodes or weights in one answer (a gibibyte while they are added up in float64)."""
FARTHEST = 1 << 30
"""Nodes are numbered up to this; further away a float64 could not say where between two of them a pixel lies."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def check_coordinates(values: ArrayLike, cell: float, name: str, dimensions: int) -> Floats:
    """Coordinates as float64, (N,) or (N, 2).

    Raises:
        RegionError: if they have another shape, or one is not finite or too far away.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RegionError(f"{name} must be numbers in units of the canvas: {error}") from error
    if array.ndim != dimensions or (dimensions == 2 and array.shape[1] != 2):
        wanted = "(N,)" if dimensions == 1 else "(N, 2)"
        raise RegionError(f"{name} must have the shape {wanted}, not {array.shape}")
    if not (np.abs(array) < cell * FARTHEST).all():
        raise RegionError(f"{name} holds coordinates that are not finite or more than {FARTHEST} layout cells away")
    return array


def nodes_around(values: Floats, cell: float) -> tuple[Integers, Floats]:
    """The node before each coordinate (int64), and how far it is on the way to the next (float64 in [0, 1))."""
    steps = values / cell - 0.5
    before = np.floor(steps)
    return before.astype(np.int64), steps - before


def scatter_product(
    local: NDArray[np.intp], count: int, at: tuple[NDArray[np.intp], NDArray[np.intp]], share: tuple[Floats, Floats]
) -> NDArray[np.float32]:
    """Weights of `count` conditions on rows times columns, float32 (h, w, count).

    Args:
        local: (n, m) which condition each node has.
        count: of conditions.
        at: the node row (h,) above, and the node column (w,) to the left of, each pixel.
        share: how far each pixel is on the way to the next node, (h,) and (w,).
    """
    (row, column), (down, right) = at, share
    if count == 1:
        return np.ones((len(row), len(column), 1), np.float32)
    # In float64, so that where all four nodes agree the sum rounds to 1 whatever else is in the window.
    out = np.zeros((len(row), len(column), count))
    pixel = np.ogrid[: len(row), : len(column)]
    for i, y in ((0, 1.0 - down), (1, down)):
        for j, x in ((0, 1.0 - right), (1, right)):
            out[pixel[0], pixel[1], local[row + i][:, column + j]] += y[:, None] * x
    return out.astype(np.float32)


def scatter_pairs(local: NDArray[np.intp], count: int, share: Floats) -> NDArray[np.float32]:
    """Weights of `count` conditions at points, float32 (N, count).

    Args:
        local: (4, N) which condition the nodes above left, above right, below left and below right have.
        count: of conditions.
        share: (N, 2) how far each point is on the way down and to the right.
    """
    down, right = share.T
    out = np.zeros((len(share), count))
    point = np.arange(len(share))
    corners = ((1.0 - down) * (1.0 - right), (1.0 - down) * right, down * (1.0 - right), down * right)
    for nodes, weight in zip(local, corners, strict=True):
        out[point, nodes] += weight
    return out.astype(np.float32)
