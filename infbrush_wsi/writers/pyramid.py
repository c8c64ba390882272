"""Levels of a pyramid: their shapes, their means, and whether all of them are on disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import OutputError, RegionError

if TYPE_CHECKING:
    import dask.array as da
    import zarr

MAX_LEVELS = 10
"""TIAToolbox sorts levels by name as text, so there are never more than "0" to "9"."""


def level_shapes(shape: Shape, given: int, chunk: int) -> list[Shape]:
    """Shapes of all levels to be written: those given, or halves until both sides fit in a chunk."""
    if given > 1:
        return [_halved(shape, number) for number in range(given)]
    shapes = [shape]
    while max(shapes[-1].h, shapes[-1].w) > chunk and len(shapes) < MAX_LEVELS:
        shapes.append(_halved(shape, len(shapes)))
    return shapes


def check_levels(levels: Sequence[da.Array | None], lattice: Lattice) -> int:
    """Refuse levels that are not (h, w, c) uint8 arrays of the lattice, each half of the one before.

    Returns:
        the number of channels.

    Raises:
        RegionError: naming the first level that does not fit.
    """
    if not 1 <= len(levels) <= MAX_LEVELS:
        raise RegionError(f"a pyramid has 1 to {MAX_LEVELS} levels, not {len(levels)}")
    if lattice.shape.count < 1:
        raise RegionError(f"an image of {lattice.shape.w} x {lattice.shape.h} pixels cannot be written")
    if levels[0] is None:
        raise RegionError("level 0 must be given; only coarser levels can be made from finer ones")
    for number, level in enumerate(levels):
        if level is None:
            continue
        if level.ndim != 3 or level.dtype != np.uint8 or np.isnan(level.shape).any() or level.shape[2] < 1:
            raise RegionError(
                f"level {number} must be a uint8 array (h, w, c) of known shape, not {level.dtype} {level.shape}"
            )
        wanted = (*_halved(lattice.shape, number).as_tuple(), levels[0].shape[2])
        if level.shape != wanted:
            raise RegionError(f"level {number} has shape (h, w, c) = {level.shape}; by its lattice it must be {wanted}")
    return int(levels[0].shape[2])


def halve(block: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of 2 x 2 pixels of a block (c, h, w), rounded half up; an odd last row or column is averaged by itself."""
    c, h, w = block.shape
    even = np.pad(block, ((0, 0), (0, h % 2), (0, w % 2)), mode="edge")
    cells = even.reshape(c, even.shape[1] // 2, 2, even.shape[2] // 2, 2)
    total: NDArray[np.uint16] = cells.sum(axis=(2, 4), dtype=np.uint16)
    return ((total + 2) // 4).astype(np.uint8)


def check_complete(arrays: Sequence[zarr.Array[Any]]) -> None:
    """Count the files on disk, which are chunks, or shards where there are any.

    Raises:
        OutputError: if one is missing.
    """
    for array in arrays:
        unit, name = (array.chunks, "chunks") if array.shards is None else (array.shards, "shards")
        wanted = math.prod(-(-side // length) for side, length in zip(array.shape, unit, strict=True))
        # Zarr counts all chunks of a shard that is there, even those beyond the edge of the image.
        found = array.nchunks_initialized * math.prod(array.chunks) // math.prod(unit)
        if found != wanted:
            raise OutputError(
                f"level '{array.path}' has {found} of {wanted} {name} on disk; "
                f"is something else writing there, or removing files?"
            )


def _halved(shape: Shape, number: int) -> Shape:
    side = 2**number
    return Shape(-(-shape.h // side), -(-shape.w // side))
