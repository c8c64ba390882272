"""Who lies in whose k x k neighbourhood: a CSR map from coordinates, in memory proportional to the points.

Points are sorted row-major, so the neighbours of a point in one row of its neighbourhood are a contiguous run that a
binary search finds. No lattice-sized table is needed: 65,536 points cost the same on 512² and on 100,000².
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NeighbourMap:
    """Pairs (point, neighbour, tap) in CSR order.

    Attributes:
        indptr: (N + 1,) int64, the pairs of point i are ``indptr[i]:indptr[i + 1]``.
        indices: (P,) int32, the neighbouring point.
        taps: (P,) int16, ``(dy + r) * k + (dx + r)`` of the neighbour's offset, r = (k - 1) / 2.
        kernel_size: k, odd.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    taps: NDArray[np.int16]
    kernel_size: int

    @property
    def degree(self) -> NDArray[np.int64]:
        """(N,) number of neighbours of each point, itself included."""
        return np.diff(self.indptr)


def build_neighbours(index_yx: NDArray[np.int32], kernel_size: int) -> NeighbourMap:
    """Find all pairs of points whose offset is at most (k - 1) / 2 pixels along both axes.

    Args:
        index_yx: (N, 2) int32 distinct lattice points, sorted row-major.
        kernel_size: odd k.
    """
    radius = kernel_size // 2
    index = np.ascontiguousarray(index_yx, np.int32)
    row_start, rows = _rows(index)
    degree = _count(index, row_start, rows, radius)
    indptr = np.zeros(len(index) + 1, np.int64)
    np.cumsum(degree, out=indptr[1:])
    indices, taps = _fill(index, row_start, rows, radius, indptr)
    return NeighbourMap(indptr, indices, taps, kernel_size)


def _rows(index: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where each occupied row begins in the sorted points, and which row it is."""
    rows, start = np.unique(index[:, 0], return_index=True)
    return np.append(start, len(index)).astype(np.int64), rows.astype(np.int32)


@numba.njit(cache=True, nogil=True)
def _run(index, row_start, rows, y, x_low, x_high):  # type: ignore[no-untyped-def] # pragma: no cover
    """Half-open range of points with row y and column in [x_low, x_high]."""
    r = np.searchsorted(rows, y)
    if r == len(rows) or rows[r] != y:
        return 0, 0
    low, high = row_start[r], row_start[r + 1]
    a, b = low, high
    while a < b:
        m = (a + b) // 2
        if index[m, 1] < x_low:
            a = m + 1
        else:
            b = m
    first = a
    while a < high and index[a, 1] <= x_high:
        a += 1
    return first, a


@numba.njit(cache=True, nogil=True)
def _count(index, row_start, rows, radius):  # type: ignore[no-untyped-def] # pragma: no cover
    degree = np.empty(len(index), np.int64)
    for i in range(len(index)):
        total = 0
        for dy in range(-radius, radius + 1):
            a, b = _run(index, row_start, rows, index[i, 0] + dy, index[i, 1] - radius, index[i, 1] + radius)
            total += b - a
        degree[i] = total
    return degree


@numba.njit(cache=True, nogil=True)
def _fill(index, row_start, rows, radius, indptr):  # type: ignore[no-untyped-def] # pragma: no cover
    indices = np.empty(indptr[-1], np.int32)
    taps = np.empty(indptr[-1], np.int16)
    k = 2 * radius + 1
    for i in range(len(index)):
        at = indptr[i]
        for dy in range(-radius, radius + 1):
            a, b = _run(index, row_start, rows, index[i, 0] + dy, index[i, 1] - radius, index[i, 1] + radius)
            for j in range(a, b):
                indices[at] = j
                taps[at] = (dy + radius) * k + (index[j, 1] - index[i, 1] + radius)
                at += 1
    return indices, taps


def join_neighbours(maps: list[NeighbourMap]) -> NeighbourMap:
    """The maps of several images as one block-diagonal map over their concatenated points."""
    counts = np.cumsum([0] + [len(m.indptr) - 1 for m in maps])
    pairs = np.cumsum([0] + [len(m.indices) for m in maps])
    indptr = np.concatenate([[0]] + [m.indptr[1:] + p for m, p in zip(maps, pairs[:-1], strict=True)])
    indices = np.concatenate([m.indices + np.int32(c) for m, c in zip(maps, counts[:-1], strict=True)])
    taps = np.concatenate([m.taps for m in maps])
    return NeighbourMap(indptr.astype(np.int64), indices.astype(np.int32), taps, maps[0].kernel_size)
