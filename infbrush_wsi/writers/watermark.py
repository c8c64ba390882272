"""An invisible mark in the pixels of an image, by a library, in blocks that depend on nothing but themselves.

Blocks lie on a fixed lattice, so the same mark is written whatever the chunks are, in any order and again after an
interruption. It outlives lossless copies and mild JPEG of the same pixels, and neither scaling nor cropping. It marks
and does not protect: who wants to remove it can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from infbrush_wsi._optional import require
from infbrush_wsi.domain import Box, Shape, tiles
from infbrush_wsi.errors import BandMismatchError, ConfigError

METHOD = "dwtDctSvd"
BLOCK = 256
"""Side of a block in pixels; the library takes no smaller image."""
LETTERS = 8
FOUND = 0.9
"""Share of the bits that must agree; of an image without the mark about half do."""


@dataclass(frozen=True)
class Watermark:
    """A text of up to eight ASCII characters in every whole block of an RGB image.

    Raises:
        ConfigError: if the text is empty, longer, or not printable ASCII.
    """

    text: str

    def __post_init__(self) -> None:
        if not (1 <= len(self.text) <= LETTERS and self.text.isascii() and self.text.isprintable()):
            raise ConfigError(f"a watermark is 1 to {LETTERS} ASCII characters, not {self.text!r}")

    def record(self) -> dict[str, Any]:
        """What the image's provenance says of it."""
        return {"method": METHOD, "block": BLOCK, "text": self.text}

    def check(self, bands: int, chunk: int) -> None:
        """Refuse what cannot be marked.

        Raises:
            MissingExtraError: without the library.
            BandMismatchError: for other than three bands.
            ConfigError: for chunks that are not whole blocks.
        """
        _library()
        if bands != 3:
            raise BandMismatchError(f"a watermark needs three bands, red, green and blue, not {bands}")
        if chunk % BLOCK:
            raise ConfigError(f"a watermark needs chunks of a multiple of {BLOCK} pixels, not {chunk}")

    def mark(self, array: da.Array) -> da.Array:
        """A lazy image (h, w, 3) of uint8 with the mark; blocks cut off by the border stay as they are.

        Raises:
            MissingExtraError, BandMismatchError, ConfigError: see `check`.
        """
        for size in {BLOCK, *(size for axis in array.chunks[:2] for size in axis[:-1])}:
            self.check(array.shape[2], size)
        marked: da.Array = da.map_blocks(self._mark, array, dtype=np.uint8)
        return marked

    def agreement(self, read: Callable[[Box], NDArray[np.uint8]], shape: Shape, blocks: int = 16) -> float:
        """Share of the mark's bits in an image, by majority over some of its blocks; nan if it has no whole block.

        Args:
            read: pixels of a box, uint8 (h, w, 3).
            shape: rows and columns of the image.
            blocks: at most so many, spread over the image.

        Raises:
            MissingExtraError: without the library.
        """
        library = _library()
        whole = list(tiles(Shape(shape.h // BLOCK * BLOCK, shape.w // BLOCK * BLOCK), BLOCK))
        if not whole:
            return float("nan")
        chosen = [whole[int(k)] for k in np.unique(np.linspace(0, len(whole) - 1, blocks).round())]
        decoder = library.WatermarkDecoder("bits", LETTERS * 8)
        votes = np.mean([decoder.decode(_turned(read(box)), METHOD) for box in chosen], axis=0)
        bits = np.unpackbits(np.frombuffer(self._payload, np.uint8))
        return float(np.mean((votes > 0.5) == bits))

    @property
    def _payload(self) -> bytes:
        return self.text.encode().ljust(LETTERS, b"\0")

    def _mark(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        out = pixels.copy()
        encoder = _library().WatermarkEncoder()
        encoder.set_watermark("bytes", self._payload)
        for box in tiles(Shape(*pixels.shape[:2]), BLOCK):
            if (box.h, box.w) == (BLOCK, BLOCK):
                out[box.slices] = _turned(encoder.encode(_turned(pixels[box.slices]), METHOD))
        return out


def _turned(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB as BGR, which OpenCV takes, and back."""
    return np.ascontiguousarray(pixels[..., ::-1])


def _library() -> Any:
    return require("imwatermark", extra="watermark", purpose="mark images invisibly")
