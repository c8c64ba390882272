"""Reading beyond the edge of an image: mirrored, filled, or refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box, Shape

Reader = Callable[[Box], NDArray[np.uint8]]
"""Reads a box that lies inside the lattice: uint8 (h, w, C)."""


def mirror(start: int, count: int, size: int) -> NDArray[np.intp]:
    """Indices start, ..., start + count - 1 folded into 0 .. size - 1 by half-sample symmetric reflection.

    Index -1 becomes 0, -2 becomes 1, `size` becomes size - 1 (``np.pad(mode="symmetric")``), for any distance.

    Returns:
        intp (count,).
    """
    folded = np.mod(np.arange(start, start + count), 2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded).astype(np.intp)


def read_mirrored(read: Reader, box: Box, shape: Shape) -> NDArray[np.uint8]:
    """Read `box` of a lattice of `shape`, mirrored beyond the edges.

    Args:
        read: reads a box inside the lattice.
        box: may lie partly or wholly outside.
        shape: the lattice.

    Returns:
        uint8 (box.h, box.w, C).
    """
    if box.clip(shape) == box:
        return read(box)
    columns, rows = mirror(box.x0, box.w, shape.w), mirror(box.y0, box.h, shape.h)
    x0, y0 = int(columns.min()), int(rows.min())
    inner = read(Box(x0, y0, int(columns.max()) - x0 + 1, int(rows.max()) - y0 + 1))
    return inner[(rows - y0)[:, None], columns - x0]


def read_filled(read: Reader, box: Box, shape: Shape, fill: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read `box` of a lattice of `shape`; pixels outside get the colour `fill` (one value a channel).

    Returns:
        uint8 (box.h, box.w, C).
    """
    inside = box.clip(shape)
    if inside == box:
        return read(box)
    out = np.empty((box.h, box.w, len(fill)), dtype=np.uint8)
    out[...] = np.asarray(fill, dtype=np.uint8)
    if not inside.empty:
        out[inside.relative_to(box).slices] = read(inside)
    return out
