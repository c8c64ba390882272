"""Tiles as pictures: encoded, kept for a while, and made a few at a time."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable

import numpy as np
import zict
from numpy.typing import NDArray
from PIL import Image

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.view.image import Shown

MIMETYPES = {"png": "image/png", "jpg": "image/jpeg"}
JPEG_QUALITY = 90
PNG_EFFORT = 1
"""Tiles travel inside one machine: the least effort, which is as exact as the most."""
KEPT_BYTES = 128 << 20
CLOSING_SECONDS = 2.0


class TileStore:
    """Makes tiles, and keeps those asked for last.

    Args:
        images: by key.
        kept_bytes: limit of what is kept, for all images.
        at_once: tiles that are made side by side; others wait. None: one for each core.
    """

    def __init__(self, images: dict[str, Shown], kept_bytes: int = KEPT_BYTES, at_once: int | None = None) -> None:
        self.images = images
        self._kept: zict.LRU[tuple[str, int, int, int, str], bytes] = zict.LRU(
            kept_bytes, {}, weight=lambda key, value: len(value)
        )
        self._at_once = at_once or os.cpu_count() or 1
        self._turns = threading.BoundedSemaphore(self._at_once)
        self._closed = False

    def get(
        self, key: str, level: int, column: int, row: int, kind: str, wanted: Callable[[], bool] = lambda: True
    ) -> bytes | None:
        """An encoded tile.

        Args:
            key: of the image.
            level: of the page, 0 is the finest.
            column: of the tile.
            row: of the tile.
            kind: 'png' (exact) or 'jpg'.
            wanted: asked when the tile's turn comes; where it says no, nothing is made.

        Returns:
            The file's bytes; None if it was not wanted any more, or after `close`.

        Raises:
            KeyError: if there is no such image.
            RegionError: if there is no such tile.
            InfbrushError: if it cannot be read or computed.
        """
        name = (key, level, column, row, kind)
        kept = self._kept.get(name)
        if kept is not None:
            return kept
        image = self.images[key]
        with self._turns:
            kept = self._kept.get(name)
            if kept is not None:
                return kept
            if self._closed or not wanted():
                return None
            made = encode(image.pixels(level, column, row), kind)
            self._kept[name] = made
        return made

    def close(self, seconds: float = CLOSING_SECONDS) -> bool:
        """Make no more tiles, and wait a little for those that have begun.

        Returns:
            Whether all of them are finished.
        """
        self._closed = True
        end, held = time.monotonic() + seconds, 0
        for _ in range(self._at_once):
            held += self._turns.acquire(timeout=max(0.0, end - time.monotonic()))
        if held:
            self._turns.release(held)
        return held == self._at_once


def encode(pixels: NDArray[np.uint8], kind: str) -> bytes:
    """A picture file.

    Args:
        pixels: uint8 (h, w) or (h, w, 3).
        kind: 'png' or 'jpg'.

    Raises:
        ConfigError: for another kind.
    """
    if kind not in MIMETYPES:
        raise ConfigError(f"tiles are {' or '.join(MIMETYPES)}, not {kind!r}")
    image, buffer = Image.fromarray(np.ascontiguousarray(pixels)), io.BytesIO()
    if kind == "png":
        image.save(buffer, "PNG", compress_level=PNG_EFFORT)
    else:
        image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
