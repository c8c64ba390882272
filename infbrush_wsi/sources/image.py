"""Photographs and other plain images, decoded whole by Pillow."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from infbrush_wsi.domain import XY, Box, Lattice, Shape
from infbrush_wsi.errors import CorruptSourceError, SourceNotFoundError, SourceTooLargeError, UnsupportedSourceError
from infbrush_wsi.sources.array import default_names
from infbrush_wsi.sources.base import Source
from infbrush_wsi.sources.level import levels_of
from infbrush_wsi.sources.options import OpenOptions, check_dtype, resolve_bands, to_uint8
from infbrush_wsi.sources.tiff import check_complete, microscopic

RAW_DTYPES = {"I;16": "uint16", "I;16B": "uint16", "I;16L": "uint16", "I": "int32", "F": "float32"}
MICROMETERS_PER_INCH = 25400.0
CACHE_BYTES = 2**29


class ImageSource(Source):
    """A PNG, JPEG, BMP, WebP or plain TIFF as a source of one level; only the first page of a TIFF.

    The pixel size is taken from the resolution tags if they can be a microscope's (finer than 10 µm); 72 or 300 dpi
    are print settings. An alpha channel becomes the validity mask.
    """

    name = "image"
    suffixes = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
    priority = 90

    @classmethod
    def can_open(cls, path: str) -> bool:
        """Whether Pillow recognises the first bytes."""
        if not Path(path).is_file():
            return False
        try:
            with Image.open(path):
                return True
        except Image.DecompressionBombError:
            return True
        except Exception:
            return False

    @classmethod
    def open(cls, path: str, options: OpenOptions) -> ImageSource:
        """Read the header.

        Raises:
            CorruptSourceError: if it is no image or cut off.
            SourceTooLargeError: if it has more pixels than ``options.max_pixels``.
            UnsupportedSourceError: if it has more than 8 bits and no scale was given.
            BandMismatchError: if a band does not exist.
        """
        with _open(path) as image:
            size, mode, resolution = image.size, image.mode, image.info.get("dpi")
            rawmode, pages = str(getattr(image, "tile", "")), _pages(image, path)
            bands = "RGB" if image.mode == "P" else image.mode
        if size[0] * size[1] > options.max_pixels:
            raise SourceTooLargeError(
                f"{path} has {size[0]} x {size[1]} pixels, more than max_pixels={options.max_pixels}: it would be "
                "decoded whole; convert it to a tiled pyramid (OME-Zarr, TIFF), or raise max_pixels"
            )
        if mode in ("RGB", "RGBA") and ";16" in rawmode:
            raise UnsupportedSourceError(f"{path} has 16 bits a channel: open it with reader='rasterio' and scale=")
        check_dtype(np.dtype(RAW_DTYPES.get(mode, "uint8")), options, path)
        check_complete(path)
        names = default_names(1 if bands in RAW_DTYPES or bands in ("L", "1", "LA") else 3)
        chosen = [names[index] for index in resolve_bands(names, options.bands, path)]
        mpp = options.mpp or _mpp(resolution)
        transform = Affine.scale(mpp.x, mpp.y) if mpp else Affine.identity()
        shape = Shape(size[1], size[0])
        lattice = Lattice(shape, transform, "micrometer" if mpp else "pixel")
        metadata = {"reader": cls.name, "mode": mode, "pages": pages}
        return cls(
            path,
            channel_names=chosen,
            levels=levels_of(lattice, [shape], [1.0]),
            background=255,
            metadata=metadata,
            options=options,
            mask_kind="valid",
        )

    def _decoded(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        try:
            changed = Path(self.path).stat().st_mtime_ns
        except OSError as error:
            raise SourceNotFoundError(f"{self.path} has gone since it was opened: {error}") from error
        key = (self.path, changed, self.options)
        found = DECODED.get(key)
        if found is None:
            found = _decode(self.path, self.options)
            if found[0].shape[:2] != self.level_shapes[0]:
                raise CorruptSourceError(f"{self.path} has changed its size since it was opened; open it again")
            DECODED.put(key, found)
        return found

    def _read(self, box: Box, level: int) -> NDArray[np.uint8]:
        return self._decoded()[0][box.slices].copy()

    def _valid(self, lattice: Lattice, overview: NDArray[np.uint8]) -> NDArray[np.bool_]:
        alpha = self._decoded()[1]
        if alpha is None:
            return np.ones(lattice.shape.as_tuple(), dtype=np.bool_)
        size = (lattice.shape.w, lattice.shape.h)
        return np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.NEAREST)) > 0


def _pages(image: Any, path: str) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception as error:
        # Pillow walks through all pages here, and meets the damaged ones with many kinds of errors.
        raise CorruptSourceError(f"{path} is damaged: its pages cannot be counted ({error}); copy it again") from error


def _open(path: str) -> Image.Image:
    try:
        return Image.open(path)
    except Image.DecompressionBombError as error:
        raise SourceTooLargeError(
            f"{path} declares a size beyond Pillow's limit against decompression bombs: "
            f"{error}; convert it to a tiled pyramid (OME-Zarr, TIFF)"
        ) from error
    except Exception as error:
        # Pillow's parsers meet damaged files with many kinds of errors.
        raise CorruptSourceError(f"{path} cannot be read as an image: {error}") from error


def _decode(path: str, options: OpenOptions) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    try:
        with _open(path) as image:
            image.load()
            has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            alpha = np.asarray(image.convert("RGBA").getchannel("A")) if has_alpha else None
            if image.mode in RAW_DTYPES:
                pixels = to_uint8(np.asarray(image), options.scale)
            else:
                gray = image.mode in ("1", "L", "LA")
                pixels = to_uint8(np.asarray(image.convert("L" if gray else "RGB")), options.scale)
    except (SourceTooLargeError, MemoryError):
        raise
    except Exception as error:
        # As in _open.
        raise CorruptSourceError(f"{path} is truncated or damaged: {error}") from error
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if options.bands is not None:
        pixels = pixels[..., [band - 1 for band in options.bands]]
    return np.ascontiguousarray(pixels), alpha


def _mpp(dpi: Any) -> XY | None:
    try:
        x, y = (microscopic(MICROMETERS_PER_INCH / float(value)) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return XY(x, y) if x is not None and y is not None else None


class _ByteLimitedCache:
    """The most recently used decoded images of this process, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._start()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Any, tuple[NDArray[np.uint8], NDArray[np.uint8] | None]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None] | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Any, value: tuple[NDArray[np.uint8], NDArray[np.uint8] | None]) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = value
                self._bytes += value[0].nbytes
            while self._bytes > self.limit and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1][0].nbytes


DECODED = _ByteLimitedCache(CACHE_BYTES)
