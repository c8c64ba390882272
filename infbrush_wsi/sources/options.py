"""What the caller may say when a source is opened, and the checks that all readers share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import XY
from infbrush_wsi.errors import BandMismatchError, MissingMppError, UnsupportedSourceError

MAX_PIXELS = 2**28
"""Default limit for images that must be decoded whole (16,384² pixels, 0.8 GB as RGB)."""


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """How to open a source.

    Attributes:
        mpp: physical pixel size of level 0 in micrometres, overriding the file's; None takes the file's.
        bands: 1-based bands to read, in this order (GDAL's numbering); None takes all colour bands.
        scale: (low, high) raw values that become 0 and 255; None accepts uint8 only.
        max_pixels: limit for images that must be decoded whole.
    """

    mpp: XY | None = None
    bands: tuple[int, ...] | None = None
    scale: tuple[float, float] | None = None
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        """Refuse values that no reader could use."""
        if self.mpp is not None and not all(math.isfinite(v) and v > 0 for v in (self.mpp.x, self.mpp.y)):
            raise MissingMppError(f"mpp must be positive micrometres per pixel, not {self.mpp}")
        if self.scale is not None:
            low, high = self.scale
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise UnsupportedSourceError(f"scale must be (low, high) with low < high, not {self.scale!r}")
        if self.bands is not None and not self.bands:
            raise BandMismatchError("bands must name at least one band; leave it out to read them all")


def pixel_size(mpp: float | tuple[float, float] | None) -> XY | None:
    """Micrometres per pixel as callers give them: one number, (x, y), or None."""
    if mpp is None:
        return None
    return XY(float(mpp[0]), float(mpp[1])) if isinstance(mpp, tuple) else XY(float(mpp), float(mpp))


def resolve_bands(names: Sequence[str], bands: Sequence[int] | None, path: str) -> tuple[int, ...]:
    """0-based indices of the bands to read.

    Args:
        names: names of the bands that the file has, in file order.
        bands: 1-based bands asked for, or None for all.
        path: for the message.

    Raises:
        BandMismatchError: if a band does not exist.
    """
    if bands is None:
        return tuple(range(len(names)))
    wrong = [band for band in bands if not 1 <= band <= len(names)]
    if wrong:
        raise BandMismatchError(
            f"{path} has no band {', '.join(map(str, wrong))}: its bands are 1 to {len(names)} ({', '.join(names)})"
        )
    return tuple(band - 1 for band in bands)


def check_dtype(dtype: np.dtype[np.generic], options: OpenOptions, path: str) -> None:
    """Refuse values other than 8-bit unless the caller says how to map them to 0..255.

    Raises:
        UnsupportedSourceError: if the values are not uint8 and no scale was given, or are not numbers.
    """
    if dtype.kind not in "uif":
        raise UnsupportedSourceError(f"{path} holds {dtype} values; only integer and float images can be read")
    if dtype != np.uint8 and options.scale is None:
        raise UnsupportedSourceError(
            f"{path} holds {dtype} values, not uint8: say which values become 0 and 255, "
            "for example open_source(path, scale=(0, 3000))"
        )


def to_uint8(values: NDArray[np.generic], scale: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Map raw values to uint8: low becomes 0, high 255, rounded and clipped; NaN becomes 0.

    Args:
        values: array of any shape, integer or float.
        scale: (low, high), or None if `values` are uint8 already.
    """
    if scale is None:
        return np.ascontiguousarray(values, dtype=np.uint8)
    low, high = scale
    scaled = (values.astype(np.float32) - low) * (255.0 / (high - low))
    clipped = np.clip(np.rint(np.nan_to_num(scaled, nan=0.0)), 0, 255)
    return np.asarray(clipped, dtype=np.uint8)
