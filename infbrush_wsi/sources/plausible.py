"""Whether what a file declares can be: places that are numbers, sizes that its bytes could hold."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infbrush_wsi.errors import CorruptSourceError, SourceTooLargeError

if TYPE_CHECKING:
    from infbrush_wsi.sources.level import Level

LARGEST_SIDE = 2**31 - 1
FREE_PIXELS = 2**28
"""So many are read without asking; it takes a few seconds."""
MAX_CHUNK_BYTES = 1 << 29
"""A chunk is decoded whole, by each thread."""
MOST_PIXELS_A_BYTE = 4096
"""More are not in any image: one colour deflates to 344 RGB pixels a byte."""


def check_levels(levels: Sequence[Level], path: str) -> None:
    """Refuse a pyramid that lies nowhere.

    Raises:
        CorruptSourceError: if there is no level, or a level has no pixels or pixels of no size.
        SourceTooLargeError: if a side is beyond what any library can address.
    """
    if not levels:
        raise CorruptSourceError(f"{path} declares no level of an image")
    for level in levels:
        shape, spacing = level.lattice.shape, level.lattice.spacing
        if min(shape.h, shape.w) < 1:
            raise CorruptSourceError(f"{path} declares {shape.w} x {shape.h} pixels at level {level.index}")
        if max(shape.h, shape.w) > LARGEST_SIDE:
            raise SourceTooLargeError(f"{path} declares {shape.w} x {shape.h} pixels at level {level.index}: damaged?")
        numbers = (*level.lattice.transform[:6], level.downsample)
        sizes = (spacing.x, spacing.y, level.downsample)
        if not (all(map(math.isfinite, numbers)) and all(0 < size < math.inf for size in sizes)):
            raise CorruptSourceError(
                f"{path} declares pixels of {spacing.x:g} x {spacing.y:g} {level.lattice.unit} at level {level.index}, "
                "which is no size; mend its metadata, or convert it anew"
            )


def check_holds(path: str, pixels: int, stored: int | None) -> None:
    """Refuse to read through far more pixels than the bytes of a file could hold.

    Args:
        path: for the message.
        pixels: that would be read.
        stored: bytes that hold them; None if that is not known.

    Raises:
        SourceTooLargeError: if it declares more than 4,096 pixels a byte.
    """
    if stored is not None and pixels > FREE_PIXELS and pixels > stored * MOST_PIXELS_A_BYTE:
        raise SourceTooLargeError(
            f"{path} declares {pixels} pixels in {stored} bytes, and has no coarser level: it is damaged, a "
            "decompression bomb, or empty; if it is sound, give it overviews (gdaladdo) or convert it to a pyramid"
        )


def stored_bytes(path: str, enough: int) -> int | None:
    """Bytes of a local file or folder, counted until there are `enough`; None for what is remote."""
    if "://" in path or path.startswith("/vsi"):
        return None
    if not Path(path).is_dir():
        return Path(path).stat().st_size if Path(path).exists() else None
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            total += (Path(folder) / name).lstat().st_size
            if total >= enough:
                return total
    return total


def check_chunks(array: Any, path: str) -> None:
    """Refuse an array whose chunks nobody could decode.

    Raises:
        SourceTooLargeError: if a chunk is beyond `MAX_CHUNK_BYTES`.
    """
    size = math.prod(map(int, array.chunks)) * array.dtype.itemsize
    if size > MAX_CHUNK_BYTES:
        raise SourceTooLargeError(
            f"{path} has chunks of {tuple(array.chunks)}, {size >> 20} MiB each, which are decoded whole: write it "
            "again with smaller chunks"
        )
