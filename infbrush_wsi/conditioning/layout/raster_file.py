"""Label rasters from files: plain images, GeoTIFFs and OME-Zarr label images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi._optional import require
from infbrush_wsi.conditioning.layout.label_zarr import open_label_zarr
from infbrush_wsi.conditioning.layout.place import check_offset
from infbrush_wsi.conditioning.layout.raster import MAX_PIXELS, RasterLayout
from infbrush_wsi.domain import XY
from infbrush_wsi.errors import ConditionError
from infbrush_wsi.sources.tiff import tiff_info

PALETTE_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")
"""Pillow's images of one whole number a pixel."""


@dataclass(frozen=True)
class LabelImage:
    """The pixels of a label raster and where they are.

    Attributes:
        values: whole numbers (h, w).
        pixel: sides of a pixel in the file's unit; None if it does not say them.
        corner: of the first pixel, in the file's own coordinates.
        upwards: whether y grows upwards in them.
        names: of the values, if the file gives any.
    """

    values: NDArray[Any]
    pixel: XY | None = None
    corner: XY = field(default_factory=lambda: XY(0.0, 0.0))
    upwards: bool = False
    names: Mapping[int, str] | None = None


def raster_from_file(
    path: str | Path,
    *,
    conditions: Mapping[int, str | ArrayLike | None] | None = None,
    pixel: float | tuple[float, float] | None = None,
    cell: float | None = None,
    background: str | ArrayLike | None = None,
    offset: tuple[float, float] | None = None,
) -> RasterLayout:
    """Read a label raster: PNG or TIFF of one band, GeoTIFF, or an OME-Zarr label image (its finest level).

    Args:
        path: of the file, or of the label image inside an OME-Zarr store (``slide.ome.zarr/labels/layout``).
        conditions: condition of each value; None: the names that an OME-Zarr label image gives its values.
        pixel: side of a pixel in units of the canvas, or (x, y); needed where the file does not say it.
        cell: distance of the layout's nodes; None: the pixel's width.
        background: condition of value 0 (unless `conditions` has it) and of everything beyond the raster.
        offset: (x, y) of the canvas's top left corner in the raster's own coordinates: those of a GeoTIFF's CRS, else
            from its corner in units of the canvas. None: the raster's corner is the canvas's.

    Raises:
        ConditionError: if the file is no such raster, a value has no condition, or the pixel size is unknown.
        MissingExtraError: for a GeoTIFF without rasterio.
    """
    image = _read(str(path))
    named = conditions if conditions is not None else image.names
    if named is None:
        raise ConditionError(f"{path} does not name its values; give conditions={{1: 'a class', ...}}")
    size = (image.pixel.x, image.pixel.y) if pixel is None and image.pixel is not None else pixel
    if size is None:
        raise ConditionError(f"{path} does not say its pixel size; give pixel= in units of the canvas")
    try:
        return RasterLayout(image.values, named, size, cell, background, _offset(image, offset))
    except ConditionError as error:
        raise ConditionError(f"{path} cannot be used as a layout: {error}") from error


def _offset(image: LabelImage, offset: tuple[float, float] | None) -> tuple[float, float]:
    """Of the canvas's corner from the raster's, rightwards and downwards."""
    if offset is None:
        return (0.0, 0.0)
    given = check_offset(offset)
    down = given.y - image.corner.y
    return given.x - image.corner.x, -down if image.upwards else down


def _read(path: str) -> LabelImage:
    file = Path(path)
    if not file.exists():
        raise ConditionError(f"there is no label raster at {path}")
    if file.is_dir():
        found = open_label_zarr(path)
        return LabelImage(found.values, found.pixel, found.corner, names=found.names)
    info = tiff_info(path)
    return _read_geotiff(path) if info is not None and info.georeferenced else _read_picture(path)


def _read_picture(path: str) -> LabelImage:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            size, mode = picture.size, picture.mode
            _check_size(path, size[0] * size[1])
            if mode not in PALETTE_MODES:
                raise ConditionError(f"{path} is no label raster: it has the mode {mode}, not one whole number a pixel")
            values = np.asarray(picture)
    except ConditionError:
        raise
    except Exception as error:
        # Pillow meets damaged files and decompression bombs with many kinds of errors.
        raise ConditionError(f"{path} cannot be read as a label raster: {error}") from error
    return LabelImage(values.astype(np.uint8) if values.dtype == np.bool_ else values)


def _read_geotiff(path: str) -> LabelImage:
    rasterio = require("rasterio", extra="geo", purpose="read georeferenced label rasters")
    try:
        with rasterio.open(path) as raster:
            transform, count, size = raster.transform, raster.count, raster.width * raster.height
            if count != 1 or transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
                raise ConditionError(f"{path} is no label raster: it needs one band (it has {count}) and north up")
            _check_size(path, size)
            values = raster.read(1)
    except rasterio.errors.RasterioError as error:
        raise ConditionError(f"GDAL cannot read the label raster {path}: {error}") from error
    return LabelImage(values, XY(transform.a, -transform.e), XY(transform.c, transform.f), upwards=True)


def _check_size(path: str, pixels: int) -> None:
    if pixels > MAX_PIXELS:
        raise ConditionError(f"{path} has {pixels} pixels; a label raster has at most {MAX_PIXELS}: make it coarser")
