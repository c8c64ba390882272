"""Georeferenced rasters and whatever else GDAL reads, through rasterio."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from infbrush_wsi._optional import require
from infbrush_wsi.domain import XY, Box, Lattice, Shape
from infbrush_wsi.errors import (
    CorruptSourceError,
    MissingExtraError,
    SourceNotFoundError,
    UnsupportedSourceError,
)
from infbrush_wsi.sources.base import Source
from infbrush_wsi.sources.handles import POOL, Key
from infbrush_wsi.sources.level import Level
from infbrush_wsi.sources.options import OpenOptions, check_dtype, resolve_bands, to_uint8
from infbrush_wsi.sources.plausible import stored_bytes
from infbrush_wsi.sources.tiff import check_complete, tiff_info

RASTER_ONLY = (".vrt", ".jp2", ".img", ".asc", ".grd", ".nc", ".hdf")
PLAIN = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"RIFF", b"GIF8")
WORLD_FILES = {".tif": (".tfw", ".wld"), ".tiff": (".tfw", ".wld"), ".png": (".pgw", ".wld"), ".jpg": (".jgw", ".wld")}
UNITS = {"metre": "meter", "meter": "meter", "m": "meter", "kilometre": "kilometer", "degree": "degree"}
FEET = ("foot", "us survey foot", "us-ft", "ft")


class RasterioSource(Source):
    """A raster with any number of bands; its overviews are its levels.

    A band that the file declares as alpha is not a channel but the validity mask, as are nodata and internal masks.
    Some four-band aerial files wrongly declare their near infrared as alpha: ``bands=(1, 2, 3, 4)`` reads it.
    """

    name = "rasterio"
    extra = "geo"
    suffixes = (".tif", ".tiff", ".vrt", ".jp2", ".img")
    priority = 30

    @classmethod
    def can_open(cls, path: str) -> bool:
        """Whether GDAL should read it: georeferenced or unusual TIFFs, VRT, URLs, and all but plain images."""
        if "://" in path or path.startswith("/vsi"):
            return True
        file = Path(path)
        if not file.is_file():
            return False
        info = tiff_info(path)
        if info is not None and (info.georeferenced or info.bits != 8 or info.samples not in (1, 3, 4)):
            return True
        if any(file.with_suffix(suffix).exists() for suffix in WORLD_FILES.get(file.suffix.lower(), ())):
            return True
        with file.open("rb") as opened:
            start = opened.read(4)
        return info is None and not start.startswith(PLAIN) and _gdal_knows(path)

    @classmethod
    def open(cls, path: str, options: OpenOptions) -> RasterioSource:
        """Read the header.

        Raises:
            SourceNotFoundError: if a remote raster does not exist.
            CorruptSourceError: if GDAL cannot open it.
            UnsupportedSourceError: if it is not 8-bit and no scale was given, or `mpp` contradicts its CRS.
            BandMismatchError: if a band does not exist.
            MissingExtraError: without rasterio.
        """
        check_complete(path)
        with POOL.lend(_key(path, 0), lambda: _open(path, 0)) as raster:
            header = _header(raster, path, options)
            lattice = _lattice(raster, path, options)
            overviews = len(raster.overviews(header["indexes"][0]))
        shapes = [lattice.shape]
        for level in range(1, overviews + 1):
            with POOL.lend(_key(path, level), partial(_open, path, level)) as overview:
                shapes.append(Shape(overview.height, overview.width))
        indexes: tuple[int, ...] = header.pop("indexes")
        names: list[str] = header.pop("names")
        source = cls(
            path,
            channel_names=names,
            levels=[_level(index, lattice, shape) for index, shape in enumerate(shapes)],
            background=0,
            metadata=header,
            options=options,
            mask_kind="valid",
        )
        source._indexes = indexes
        return source

    _indexes: tuple[int, ...]

    def close(self) -> None:
        """Let go of the open files."""
        super().close()
        POOL.drop(("rasterio", self.path))

    def _read(self, box: Box, level: int) -> NDArray[np.uint8]:
        window = _library("rasterio.windows").Window(box.x0, box.y0, box.w, box.h)
        errors = _library("rasterio.errors")
        try:
            with POOL.lend(_key(self.path, level), lambda: _open(self.path, level)) as raster:
                values = raster.read(list(self._indexes), window=window)
        except errors.RasterioError as error:
            raise CorruptSourceError(f"{self.path} is damaged at level {level}, {box}: {error}") from error
        return to_uint8(np.moveaxis(values, 0, -1), self.options.scale)

    def _stored(self, enough: int) -> int | None:
        """Of all files that the raster is made of: a virtual one is a few lines of text."""
        with POOL.lend(_key(self.path, 0), lambda: _open(self.path, 0)) as raster:
            sizes = [stored_bytes(file, enough) for file in raster.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def _valid(self, lattice: Lattice, overview: NDArray[np.uint8]) -> NDArray[np.bool_]:
        shape = lattice.shape.as_tuple()
        errors = _library("rasterio.errors")
        if self.metadata["mask"] == "none":
            return super()._valid(lattice, overview)
        try:
            with POOL.lend(_key(self.path, 0), lambda: _open(self.path, 0)) as raster:
                return np.asarray(raster.dataset_mask(out_shape=shape)) > 0
        except errors.RasterioError as error:
            raise CorruptSourceError(f"the mask of {self.path} cannot be read: {error}") from error


def _library(module: str = "rasterio") -> Any:
    return require(module, extra="geo", purpose="read georeferenced rasters")


def _key(path: str, level: int) -> Key:
    return ("rasterio", path, level)


def _gdal_knows(path: str) -> bool:
    try:
        errors = _library("rasterio.errors")
    except MissingExtraError:
        return path.lower().endswith(RASTER_ONLY)
    try:
        with _quiet(path):
            return True
    except errors.RasterioError:
        return False


def _quiet(path: str, **how: Any) -> Any:
    """Open without the warning that a raster has no georeference: the unit 'pixel' says so."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", _library("rasterio.errors").NotGeoreferencedWarning)
        return _library().open(path, **how)


def _open(path: str, level: int) -> Any:
    errors = _library("rasterio.errors")
    try:
        return _quiet(path, overview_level=level - 1) if level else _quiet(path)
    except errors.RasterioError as error:
        text = str(error)
        if "404" in text or "No such file" in text or "does not exist" in text:
            raise SourceNotFoundError(f"there is nothing at {path}: {text}") from error
        raise CorruptSourceError(f"GDAL cannot open {path}: {text}") from error


def _header(raster: Any, path: str, options: OpenOptions) -> dict[str, Any]:
    """Bands to read (1-based `indexes`, `names`) and metadata."""
    if raster.count == 0:
        raise UnsupportedSourceError(f"{path} holds no raster bands ({len(raster.subdatasets)} sub-datasets: open one)")
    interpretation = [band.name for band in raster.colorinterp]
    alpha = [index + 1 for index, colour in enumerate(interpretation) if colour == "alpha"]
    names = [_band_name(raster, index, interpretation) for index in range(raster.count)]
    if options.bands is not None:
        indexes = tuple(index + 1 for index in resolve_bands(names, options.bands, path))
    else:
        indexes = tuple(i for i in range(1, raster.count + 1) if i not in alpha) or tuple(alpha)
    for index in indexes:
        check_dtype(np.dtype(raster.dtypes[index - 1]), options, path)
    return {
        "indexes": indexes,
        "names": [names[index - 1] for index in indexes],
        "reader": "rasterio",
        "driver": raster.driver,
        "bands": list(indexes),
        "alpha_band": alpha[0] if alpha else None,
        "nodata": None if raster.nodata is None else float(raster.nodata),
        "mask": _mask_kind(raster, indexes, alpha),
        "descriptions": [raster.descriptions[index - 1] for index in indexes],
    }


def _mask_kind(raster: Any, indexes: tuple[int, ...], alpha: list[int]) -> str:
    flags = {flag.name for flag in raster.mask_flag_enums[indexes[0] - 1]}
    if "alpha" in flags:
        # An alpha band that was asked for as a channel is data: it says nothing of validity.
        return "none" if set(alpha) & set(indexes) else "alpha"
    return "nodata" if "nodata" in flags else "internal" if "per_dataset" in flags else "none"


def _band_name(raster: Any, index: int, interpretation: list[str]) -> str:
    if raster.descriptions[index]:
        return str(raster.descriptions[index])
    named = interpretation[index] in ("red", "green", "blue", "alpha", "nir")
    if named or (interpretation[index] == "gray" and raster.count == 1):
        return interpretation[index]
    return f"band{index + 1}"


def _lattice(raster: Any, path: str, options: OpenOptions) -> Lattice:
    shape = Shape(raster.height, raster.width)
    if raster.crs is None:
        size = options.mpp or XY(1.0, 1.0)
        return Lattice(shape, Affine.scale(size.x, size.y), "micrometer" if options.mpp else "pixel")
    if options.mpp is not None:
        raise UnsupportedSourceError(
            f"{path} has a coordinate reference system, which gives its pixel size: leave mpp out"
        )
    transform = Affine(*tuple(raster.transform)[:6])
    crs = raster.crs.to_string()
    return Lattice(shape, transform, "degree" if raster.crs.is_geographic else _unit(raster.crs), crs)


def _level(index: int, base: Lattice, shape: Shape) -> Level:
    """An overview: GDAL stretches it over the extent of the whole, so 401 pixels in 201 are 1.995 each."""
    x, y = base.shape.w / shape.w, base.shape.h / shape.h
    transform = base.transform @ Affine.scale(x, y)
    return Level(index, Lattice(shape, transform, base.unit, base.crs), (x + y) / 2)


def _unit(crs: Any) -> str:
    name = str(crs.linear_units).lower()
    return "foot" if name in FEET else UNITS.get(name, name)
