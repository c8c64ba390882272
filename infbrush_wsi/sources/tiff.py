"""The few TIFF tags that decide which reader a TIFF belongs to, read without decoding a pixel."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import TiffImagePlugin

from infbrush_wsi.errors import CorruptSourceError

MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
GEO_TAGS = (33550, 33922, 34264, 34735)
BITS, SAMPLES = 258, 277
WIDTH, HEIGHT, ROWS, PLANES, TILE_WIDTH, TILE_HEIGHT = 256, 257, 278, 284, 322, 323
SEPARATE = 2
STRIP_OFFSETS, STRIP_COUNTS, TILE_OFFSETS, TILE_COUNTS = 273, 279, 324, 325
LARGEST_MICROSCOPIC_MPP = 10.0
"""Resolution tags coarser than this are print settings (72 or 300 dpi) and say nothing of the specimen."""


@dataclass(frozen=True, slots=True)
class TiffInfo:
    """What the first directory of a TIFF says.

    Attributes:
        georeferenced: it carries GeoTIFF tags.
        samples: channels.
        bits: bits of the first channel.
        complete: all its pixel data lie inside the file, and there are as many pieces as its size takes.
    """

    georeferenced: bool
    samples: int
    bits: int
    complete: bool


def tiff_info(path: str) -> TiffInfo | None:
    """Read the first directory of a local TIFF or BigTIFF; None if it is none or its directory is unreadable."""
    try:
        with warnings.catch_warnings(), Path(path).open("rb") as file:
            warnings.simplefilter("ignore")
            header = file.read(8)
            if header[:4] not in MAGIC:
                return None
            if header[2:4] in (b"+\x00", b"\x00+"):
                header += file.read(8)
            directory = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(directory.next)
            directory.load(file)
            return _info(directory, os.fstat(file.fileno()).st_size)
    except Exception:
        # Pillow's parser meets damaged files with many kinds of errors; all of them mean the same here.
        return None


def _info(tags: Mapping[int, Any], size: int) -> TiffInfo:
    offsets = tags.get(TILE_OFFSETS) or tags.get(STRIP_OFFSETS) or ()
    counts = tags.get(TILE_COUNTS) or tags.get(STRIP_COUNTS) or ()
    end = max((o + c for o, c in zip(offsets, counts, strict=False)), default=0)
    bits = tags.get(BITS, (1,))
    expected = _pieces(tags)
    return TiffInfo(
        georeferenced=any(tag in tags for tag in GEO_TAGS),
        samples=int(tags.get(SAMPLES, 1)),
        bits=int(bits[0] if isinstance(bits, tuple) else bits),
        complete=bool(offsets) and end <= size and len(offsets) >= expected and len(counts) >= expected,
    )


def _pieces(tags: Mapping[int, Any]) -> int:
    """How many tiles or strips the declared size takes."""
    height, width = int(tags.get(HEIGHT, 0)), int(tags.get(WIDTH, 0))
    planes = int(tags.get(SAMPLES, 1)) if tags.get(PLANES) == SEPARATE else 1
    if TILE_OFFSETS in tags:
        across, down = int(tags.get(TILE_WIDTH, width)), int(tags.get(TILE_HEIGHT, height))
    else:
        across, down = width, int(tags.get(ROWS, height))
    return planes * -(-width // max(1, across)) * -(-height // max(1, down))


def check_complete(path: str) -> None:
    """Refuse a TIFF whose pixel data reach beyond the end of the file, or are fewer than its size takes.

    Raises:
        CorruptSourceError: if it has been cut off.
    """
    info = tiff_info(path)
    if info is not None and not info.complete:
        raise CorruptSourceError(
            f"{path} is truncated or damaged: its pixel data reach beyond its end, or are of a smaller image; "
            "copy it again"
        )


def microscopic(mpp: float | None) -> float | None:
    """A pixel size from resolution tags if it can be a microscope's, else None."""
    return mpp if mpp is not None and 0 < mpp <= LARGEST_MICROSCOPIC_MPP else None
