"""An image in memory as a source."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from infbrush_wsi.domain import XY, Box, Lattice, Shape
from infbrush_wsi.errors import UnsupportedSourceError
from infbrush_wsi.sources.base import Source
from infbrush_wsi.sources.level import levels_of
from infbrush_wsi.sources.options import OpenOptions, pixel_size


class ArraySource(Source):
    """A uint8 array as a source of one level; it pickles with its pixels.

    Args:
        pixels: uint8 (h, w, C) or (h, w).
        mpp: micrometres per pixel, or (x, y); None if unknown.
        lattice: where the pixels are, instead of `mpp` (for rasters with a CRS).
        channel_names: one a channel.
        mask_kind: what `mask` looks for.
        background: grey level outside the image.
        name: shown in messages in place of a path.

    Raises:
        UnsupportedSourceError: if the array is not a uint8 image.
    """

    name = "array"

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        *,
        mpp: float | tuple[float, float] | None = None,
        lattice: Lattice | None = None,
        channel_names: Sequence[str] | None = None,
        mask_kind: Literal["tissue", "valid"] = "valid",
        background: int = 255,
        name: str = "<array>",
    ) -> None:
        pixels = np.asarray(pixels)
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or 0 in pixels.shape:
            raise UnsupportedSourceError(
                f"an array source needs uint8 pixels (h, w, C), not {pixels.dtype} {pixels.shape}"
            )
        self._pixels = pixels
        shape = Shape(*pixels.shape[:2])
        options = OpenOptions(mpp=pixel_size(mpp))
        if lattice is None:
            size = options.mpp or XY(1.0, 1.0)
            lattice = Lattice(shape, Affine.scale(size.x, size.y), "micrometer" if options.mpp else "pixel")
        elif lattice.shape != shape:
            raise UnsupportedSourceError(f"the lattice has {lattice.shape}, the pixels {shape}")
        super().__init__(
            name,
            channel_names=channel_names or default_names(pixels.shape[2]),
            levels=levels_of(lattice, [shape], [1.0]),
            background=background,
            metadata={},
            options=options,
            mask_kind=mask_kind,
        )

    @classmethod
    def can_open(cls, path: str) -> bool:
        """Never: it is made from an array, not from a path."""
        return False

    @classmethod
    def open(cls, path: str, options: OpenOptions) -> Source:
        """Not possible.

        Raises:
            UnsupportedSourceError: always.
        """
        raise UnsupportedSourceError(f"{path}: an array source is made with ArraySource(pixels)")

    @cached_property
    def fingerprint(self) -> str:
        """Of the pixels themselves."""
        digest = hashlib.sha256(repr(self._pixels.shape).encode())
        digest.update(np.ascontiguousarray(self._pixels).data)
        return digest.hexdigest()[:32]

    def _read(self, box: Box, level: int) -> NDArray[np.uint8]:
        return self._pixels[box.slices].copy()


def default_names(channels: int) -> tuple[str, ...]:
    """Names for unnamed channels: gray, red/green/blue, or band1, band2, ..."""
    known: dict[int, tuple[str, ...]] = {1: ("gray",), 3: ("red", "green", "blue")}
    return known.get(channels, tuple(f"band{index + 1}" for index in range(channels)))
