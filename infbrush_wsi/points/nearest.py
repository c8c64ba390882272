"""The nearest of scattered points: an exact search in bands of points, in memory proportional to the points.

Points in row-major order are cut into bands of equally many, and each band is put in order of x. A search starts in
the band of its place and goes outwards, band by band in y and point by point in x, until nothing beyond can come in
front of what it found. Bands follow the points and not the extent: clusters and holes cost little more than evenly
spread points, and 100,000² no more than 512². Bounds are computed as distances are, and rounding is monotonic, so they
hold to the last bit.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

BAND = 2.0
"""Points in a band, in square roots of their number."""
TIE = 1e9
"""Squared distances tie when they are equal after rounding to a multiple of 1 / TIE."""


def nearest_points(
    coords_yx: NDArray[np.floating], where_yx: NDArray[np.floating], count: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The `count` nearest points of each place, nearest first; ties in order of the index.

    Args:
        coords_yx: (N, 2) points in any unit of length and any order; fastest in row-major order without duplicates.
        where_yx: (M, 2) places in the same unit.
        count: how many; fewer if there are fewer points.

    Returns:
        Squared distances rounded to nine decimals, (M, min(count, N)) float64, and indices of points, int64.

    Raises:
        ValueError: if there are no points, or a coordinate is not finite.
    """
    coords, where = (np.asarray(a, np.float64) for a in (coords_yx, where_yx))
    if not len(coords):
        raise ValueError("the nearest of no points was asked for")
    if not (np.isfinite(coords).all() and np.isfinite(where).all()):
        raise ValueError("coordinates must be finite")
    count = min(count, len(coords))
    order, size = _in_bands(coords, count)
    y, x = np.ascontiguousarray(coords[order].T)
    first = np.arange(0, len(order), size)
    top, bottom = np.minimum.reduceat(y, first), np.maximum.reduceat(y, first)
    squared, index = np.full((len(where), count), np.inf), np.full((len(where), count), len(coords))
    _search(y, x, order, top, bottom, size, np.ascontiguousarray(where), squared, index)
    return squared, index


def _in_bands(coords: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], int]:
    """Indices of points band by band, in order of x within a band, and the size of a band (the last may be smaller)."""
    order = _row_major(coords, count)
    size = min(len(order), int(BAND * len(order) ** 0.5) + 1)
    x = np.full(-(-len(order) // size) * size, np.inf)  # what fills up the last band stays behind it
    x[: len(order)] = coords[order, 1]
    within = np.argsort(x.reshape(-1, size), axis=1)
    within += np.arange(0, len(x), size)[:, None]
    return order[within.ravel()[: len(order)]], size


def _row_major(coords: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices of points in row-major order. Of those at one place only the first `count`: no other is ever taken."""
    if _ascend(coords):
        return np.arange(len(coords))
    order = np.lexsort((coords[:, 1], coords[:, 0]))
    ordered = coords[order]
    surplus = (ordered[count:] == ordered[:-count]).all(axis=1)
    kept: NDArray[np.int64] = order[np.concatenate([np.ones(count, bool), ~surplus])]
    return kept


@numba.njit(cache=True, nogil=True)
def _ascend(coords):  # type: ignore[no-untyped-def] # pragma: no cover
    """Whether every point comes after the one before it in row-major order."""
    for i in range(1, len(coords)):
        if coords[i, 0] < coords[i - 1, 0] or (coords[i, 0] == coords[i - 1, 0] and coords[i, 1] <= coords[i - 1, 1]):
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _search(y, x, order, top, bottom, size, where, squared, index):  # type: ignore[no-untyped-def] # pragma: no cover
    """Fill `squared` and `index` for all places, bands in order of their distance in y."""
    bands = len(top)
    for m in range(len(where)):
        at_y, at_x = where[m]
        near, found = squared[m], index[m]
        after = np.searchsorted(top, at_y, side="right")
        before = after - 1
        while before >= 0 or after < bands:
            up = max(at_y - bottom[before], 0.0) if before >= 0 else np.inf
            down = top[after] - at_y if after < bands else np.inf
            gap = min(up, down)
            if _rounded(gap * gap) > near[-1]:
                break
            if up <= down:
                band, before = before, before - 1
            else:
                band, after = after, after + 1
            first, last = band * size, min(band * size + size, len(x))
            _scan(y, x, order, first, last, at_y, at_x, gap * gap, near, found)


@numba.njit(cache=True, nogil=True)
def _scan(y, x, order, first, last, at_y, at_x, least, near, found):  # type: ignore[no-untyped-def] # pragma: no cover
    """Offer the points of one band, from x of the place to both sides; `least` is the smallest squared offset in y."""
    start = _first_not_left(x, first, last, at_x)
    for step in (1, -1):
        i = start if step == 1 else start - 1
        while first <= i < last:
            along = (x[i] - at_x) ** 2
            if _rounded(least + along) > near[-1]:
                break
            _offer(_rounded((y[i] - at_y) ** 2 + along), order[i], near, found)
            i += step


@numba.njit(cache=True, nogil=True)
def _first_not_left(x, first, last, at):  # type: ignore[no-untyped-def] # pragma: no cover
    """Where in ``x[first:last]``, ascending, the first value not below `at` is; the ends are tried first."""
    if x[last - 1] < at:
        return last
    if x[first] >= at:
        return first
    while first < last:
        middle = (first + last) // 2
        if x[middle] < at:
            first = middle + 1
        else:
            last = middle
    return first


@numba.njit(cache=True, nogil=True)
def _offer(distance, point, near, found):  # type: ignore[no-untyped-def] # pragma: no cover
    """Put a point into its place among those found, if it has one."""
    k = len(near)
    while k > 0 and (distance < near[k - 1] or (distance == near[k - 1] and point < found[k - 1])):
        if k < len(near):
            near[k], found[k] = near[k - 1], found[k - 1]
        k -= 1
        near[k], found[k] = distance, point


@numba.njit(cache=True, nogil=True)
def _rounded(squared):  # type: ignore[no-untyped-def] # pragma: no cover
    """As ``np.round(squared, 9)``."""
    return np.rint(squared * TIE) / TIE
