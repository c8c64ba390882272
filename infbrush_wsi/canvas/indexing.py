"""Numpy's indexing, split into the window that must be read and what is then picked from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from infbrush_wsi.domain import Box


def window_of(key: Any, shape: tuple[int, int, int]) -> tuple[Box, tuple[Any, ...]]:
    """The box of rows and columns that `key` touches in an array (h, w, C), and the key relative to it.

    Raises:
        IndexError: as numpy does, for a key that does not fit the shape.
    """
    from dask.array.slicing import normalize_index

    keys: list[Any] = list(normalize_index(_with_empty_slices(key, shape), shape))
    (y0, y1, keys[0]), (x0, x1, keys[1]) = (_span(k, n) for k, n in zip(keys[:2], shape[:2], strict=True))
    return Box(x0, y0, x1 - x0, y1 - y0), tuple(keys)


def _with_empty_slices(key: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The key with slices of nothing written as such: dask takes the start of [-12::-1] for -11 in 11 pixels."""
    keys = list(key) if isinstance(key, tuple) else [key]
    places = [place for place, part in enumerate(keys) if part is Ellipsis]
    if len(places) > 1 or any(part is None for part in keys):
        raise IndexError(
            "a level of a canvas takes at most one ellipsis and no new axes; index the array that it gives"
        )
    if places:
        keys[places[0] : places[0] + 1] = [slice(None)] * (len(shape) - len(keys) + 1)
    for axis, (part, length) in enumerate(zip(keys, shape, strict=False)):
        if isinstance(part, slice) and not range(*part.indices(length)):
            keys[axis] = slice(0, 0)
    return tuple(keys)


def _span(key: Any, length: int) -> tuple[int, int, Any]:
    """(first, end, relative key) along one axis."""
    if isinstance(key, slice):
        at = range(*key.indices(length))
        if not at:
            return 0, 0, slice(0, 0)
        first, last = min(at[0], at[-1]), max(at[0], at[-1])
        start = at[0] - first
        stop = at[-1] - first + (1 if at.step > 0 else -1)
        return first, last + 1, slice(start, None if stop < 0 else stop, at.step)
    where = np.asarray(key)
    if where.size == 0:
        return 0, 0, where
    first = int(where.min())
    relative = where - first
    return first, int(where.max()) + 1, int(relative) if where.ndim == 0 else relative
