"""Whether a GeoTIFF is what it says: its layout, its place, its pixels and its provenance."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from infbrush_wsi._optional import require
from infbrush_wsi.errors import ConfigError, CorruptSourceError, SourceNotFoundError, UnsupportedSourceError
from infbrush_wsi.sources.tiff import check_complete, tiff_info
from infbrush_wsi.validation.blocks import Blocks, check_blocks
from infbrush_wsi.validation.finding import CAN_BE, Finding, Validation
from infbrush_wsi.validation.provenance import check_record
from infbrush_wsi.writers.description import from_description

LAYOUT = "layout"
PLACE = "place"
SUFFIXES = (".tif", ".tiff")


def validate_raster(
    path: str | os.PathLike[str], *, windows: int = 16, decode: bool = False, seed: int = 0
) -> Validation:
    """Look whether a local GeoTIFF, by whomever it was written, is what it says.

    Whether it is a cloud optimised GeoTIFF (by rio-cogeo), its CRS and pixel size, blocks in random places, and the
    record of how the pixels were made. A GeoTIFF need be no COG; one that claims to be, and is not, is an error.

    Args:
        path: of the file.
        windows: blocks that are decoded at each level.
        decode: decode every block, which reads the whole file.
        seed: of the blocks.

    Returns:
        what was found; nothing is raised for what is wrong in a file that can be opened.

    Raises:
        SourceNotFoundError: if there is nothing at the path.
        UnsupportedSourceError: if it is no GeoTIFF.
        CorruptSourceError: if its header cannot be read, or it is truncated.
        ConfigError: if `windows` is not positive.
        MissingExtraError: without rasterio or rio-cogeo.
    """
    if windows < 1:
        raise ConfigError(f"at least one window must be decoded, not {windows}")
    text = os.fspath(path)
    if not Path(text).exists():
        raise SourceNotFoundError(f"there is nothing at {text}")
    info = tiff_info(text)
    if info is None or not info.georeferenced:
        raise UnsupportedSourceError(f"{text} is no GeoTIFF; {CAN_BE}")
    check_complete(text)
    with _opened(text) as raster:
        findings = [*_check_layout(raster, text), *_check_place(raster)]
        levels = len(raster.overviews(1)) + 1
        record = from_description(raster.tags().get("TIFFTAG_IMAGEDESCRIPTION", ""))
    rng = np.random.default_rng(seed)
    findings += check_blocks(_blocks(text, levels), None if decode else windows, rng)
    findings += check_record(record)
    return Validation(text, tuple(findings))


def _library(module: str) -> Any:
    return require(module, extra="validate", purpose="validate GeoTIFFs")


def _opened(path: str, **how: Any) -> Any:
    rasterio, errors = _library("rasterio"), _library("rasterio.errors")
    try:
        with warnings.catch_warnings():
            # What it says is one of the findings.
            warnings.simplefilter("ignore", errors.NotGeoreferencedWarning)
            return rasterio.open(path, **how)
    except errors.RasterioError as error:
        raise CorruptSourceError(f"GDAL cannot open {path}: {error}") from error


def _check_layout(raster: Any, path: str) -> Iterator[Finding]:
    """Whether it is a COG; errors of one that does not claim to be are but a hint that it might become one."""
    _, errors, hints = _library("rio_cogeo.cogeo").cog_validate(path, quiet=True)
    claimed = raster.get_tag_item("GDAL_STRUCTURAL_METADATA", "TIFF") is not None
    for text in errors:
        yield Finding(LAYOUT, "error" if claimed else "warning", f"not a valid COG: {text}")
    for text in hints:
        yield Finding(LAYOUT, "warning", text)
    if not errors and not hints:
        factors = ", ".join(f"1/{factor}" for factor in raster.overviews(1))
        yield Finding(LAYOUT, "ok", f"a valid COG, {f'overviews {factors}' if factors else 'no overviews'}")


def _check_place(raster: Any) -> Iterator[Finding]:
    if raster.crs is None:
        yield Finding(PLACE, "warning", "it names no coordinate reference system: nobody knows where it lies")
        return
    code = raster.crs.to_epsg()
    name = f"EPSG:{code}" if code else [*raster.crs.to_wkt().split('"'), "?"][1]
    unit = "degree" if raster.crs.is_geographic else raster.crs.linear_units
    x, y = raster.res
    yield Finding(PLACE, "ok", f"{name}, {x:.6g} x {y:.6g} {unit} a pixel")


def _blocks(path: str, levels: int) -> Iterator[Blocks]:
    """Of each level, open while they are looked at."""
    for level in range(levels):
        with _opened(path, **({"overview_level": level - 1} if level else {})) as raster:
            windows = [window for _, window in raster.block_windows(1)]
            yield Blocks(str(level), windows, partial(_decode, raster))


def _decode(raster: Any, window: Any) -> Any:
    return raster.read(window=window)
