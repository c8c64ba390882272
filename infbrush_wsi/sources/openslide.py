"""Whole slide images through OpenSlide."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from infbrush_wsi._optional import require
from infbrush_wsi.domain import XY, Box, Lattice, Shape
from infbrush_wsi.errors import CorruptSourceError, MissingExtraError, UnsupportedSourceError
from infbrush_wsi.sources.base import Source
from infbrush_wsi.sources.handles import POOL, Key
from infbrush_wsi.sources.level import levels_of
from infbrush_wsi.sources.options import OpenOptions, resolve_bands, to_uint8
from infbrush_wsi.sources.tiff import check_complete, microscopic, tiff_info

SLIDE_ONLY = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".czi", ".svslide", ".dcm")
BLOCK = 1024
CACHE_BYTES = 2**25
"""More would only make memory follow the size of the slide: training reads each tile once, into the pixel cache."""
WHITE = 255


class OpenSlideSource(Source):
    """A slide in any format of OpenSlide, transparent parts on white (or the slide's own background colour).

    Associated images (label, macro, thumbnail) are never read and identifying properties are not kept.
    """

    name = "openslide"
    extra = "wsi"
    suffixes = (*SLIDE_ONLY, ".tif", ".tiff")
    priority = 20

    @classmethod
    def can_open(cls, path: str) -> bool:
        """Whether OpenSlide knows a vendor; plain tiled TIFFs only if they are 8-bit RGB and not georeferenced."""
        if not Path(path).is_file():
            return False
        try:
            vendor = _library().OpenSlide.detect_format(path)
        except MissingExtraError:
            return path.lower().endswith(SLIDE_ONLY)
        if vendor == "generic-tiff":
            info = tiff_info(path)
            return info is not None and not info.georeferenced and (info.samples, info.bits) == (3, 8)
        return vendor is not None

    @classmethod
    def open(cls, path: str, options: OpenOptions) -> OpenSlideSource:
        """Read the header.

        Raises:
            UnsupportedSourceError: if OpenSlide knows no such format.
            CorruptSourceError: if the slide is damaged.
            BandMismatchError: if a band other than 1 to 3 is asked for.
            MissingExtraError: without OpenSlide.
        """
        library = _library()
        if library.OpenSlide.detect_format(path) is None:
            raise UnsupportedSourceError(f"OpenSlide knows no slide format in {path}")
        check_complete(path)
        names = ("red", "green", "blue")
        chosen = [names[index] for index in resolve_bands(names, options.bands, path)]
        with POOL.lend(_key(path), lambda: _open(path)) as slide:
            properties = dict(slide.properties)
            shapes = [Shape(h, w) for w, h in slide.level_dimensions]
            native = tuple(float(factor) for factor in slide.level_downsamples)
        mpp = options.mpp or _mpp(properties)
        transform = Affine.scale(mpp.x, mpp.y) if mpp else Affine.identity()
        lattice = Lattice(shapes[0], transform, "micrometer" if mpp else "pixel")
        factors = [_whole(factor, shapes[0], shape) for factor, shape in zip(native, shapes, strict=True)]
        source = cls(
            path,
            channel_names=chosen,
            levels=levels_of(lattice, shapes, factors),
            background=WHITE,
            metadata=_metadata(properties),
            options=options,
            mask_kind="tissue",
        )
        source._native = native
        source.background = _background(properties, options)
        return source

    _native: tuple[float, ...]

    def close(self) -> None:
        """Let go of the open files."""
        super().close()
        POOL.drop(_key(self.path))

    def _read(self, box: Box, level: int) -> NDArray[np.uint8]:
        if self._native[level].is_integer():
            return self._read_native(box, level)
        # Where a level is not a whole fraction of level 0, OpenSlide interpolates, by an offset that depends on
        # where the region starts. Fixed blocks make a pixel the same whatever region it is read with.
        out = np.empty((box.h, box.w, self.channels), dtype=np.uint8)
        shape = self.levels[level].lattice.shape
        for y in range(box.y0 // BLOCK * BLOCK, box.y1, BLOCK):
            for x in range(box.x0 // BLOCK * BLOCK, box.x1, BLOCK):
                block = Box(x, y, BLOCK, BLOCK).clip(shape)
                part = block.intersect(box)
                out[part.relative_to(box).slices] = self._read_native(block, level)[part.relative_to(block).slices]
        return out

    def _read_native(self, box: Box, level: int) -> NDArray[np.uint8]:
        library = _library()
        location = (round(box.x0 * self._native[level]), round(box.y0 * self._native[level]))
        try:
            with POOL.lend(_key(self.path), lambda: _open(self.path)) as slide:
                rgba = np.asarray(slide.read_region(location, level, (box.w, box.h)))
        except library.OpenSlideError as error:
            raise CorruptSourceError(
                f"{self.path} is damaged at level {level}, {box.w} x {box.h} pixels at level-0 {location}: {error}"
            ) from error
        pixels = _over(rgba, self._backdrop)
        if self.options.bands is not None:
            pixels = pixels[..., [band - 1 for band in self.options.bands]]
        return to_uint8(pixels, self.options.scale)

    @property
    def _backdrop(self) -> NDArray[np.uint8]:
        colour = str(self.metadata.get("background", "FFFFFF"))
        return np.frombuffer(bytes.fromhex(colour), dtype=np.uint8)

    def _valid(self, lattice: Lattice, overview: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.ones(lattice.shape.as_tuple(), dtype=np.bool_)


def _library() -> Any:
    return require("openslide", extra="wsi", purpose="read whole slide images")


def _key(path: str) -> Key:
    return ("openslide", path)


@lru_cache(maxsize=1)
def _cache(pid: int) -> Any:
    """Decoded tiles of all slides that this process has open: OpenSlide would give each handle 32 MiB of its own."""
    return _library().OpenSlideCache(CACHE_BYTES)


def _open(path: str) -> Any:
    library = _library()
    try:
        # Not open_slide(): it falls back to Pillow, and a truncated slide then fails much later.
        slide = library.OpenSlide(path)
        slide.set_cache(_cache(os.getpid()))
        return slide
    except (library.OpenSlideError, OSError) as error:
        raise CorruptSourceError(f"OpenSlide cannot open {path}: {error}") from error


def _over(rgba: NDArray[np.uint8], backdrop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = rgba[..., 3:]
    if (alpha == 255).all():
        return rgba[..., :3]
    # Colours are not premultiplied (openslide-python undoes it).
    mixed = rgba[..., :3].astype(np.uint16) * alpha + backdrop.astype(np.uint16) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _whole(factor: float, base: Shape, shape: Shape) -> float:
    """The whole factor that was meant: 4.00013 is 4 with a last column dropped."""
    whole = round(factor)
    meant = abs(base.w / whole - shape.w) < 1 and abs(base.h / whole - shape.h) < 1
    return float(whole) if meant else factor


def _mpp(properties: Mapping[str, str]) -> XY | None:
    try:
        x, y = float(properties["openslide.mpp-x"]), float(properties["openslide.mpp-y"])
    except (KeyError, ValueError):
        return None
    if properties.get("openslide.vendor") == "generic-tiff" and not (microscopic(x) and microscopic(y)):
        return None
    return XY(x, y) if 0 < x < math.inf and 0 < y < math.inf else None


def _metadata(properties: Mapping[str, str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"reader": "openslide", "vendor": properties.get("openslide.vendor")}
    power = properties.get("openslide.objective-power")
    if power is not None:
        metadata["objective_power"] = float(power)
    colour = properties.get("openslide.background-color")
    if colour is not None:
        metadata["background"] = colour
    bounds = {side: properties.get(f"openslide.bounds-{side}") for side in ("x", "y", "width", "height")}
    if all(value is not None for value in bounds.values()):
        metadata["bounds"] = {side: int(str(value)) for side, value in bounds.items()}
    return metadata


def _background(properties: Mapping[str, str], options: OpenOptions) -> tuple[int, ...]:
    colour = bytes.fromhex(properties.get("openslide.background-color", "FFFFFF"))
    scaled = to_uint8(np.frombuffer(colour, dtype=np.uint8), options.scale)
    chosen = range(3) if options.bands is None else [band - 1 for band in options.bands]
    return tuple(int(scaled[index]) for index in chosen)
