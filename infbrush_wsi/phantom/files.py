"""Phantoms as files: pyramidal TIFF slides that OpenSlide reads, and GeoTIFF rasters that GDAL reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from infbrush_wsi._optional import require
from infbrush_wsi.domain import Lattice, Size
from infbrush_wsi.errors import ConfigError, OutputError, RegionError
from infbrush_wsi.phantom.aerial import BAND_NAMES, aerial_image
from infbrush_wsi.phantom.architecture import CLASSES, TissueClass
from infbrush_wsi.phantom.hne import hne_image

_READ = 2048
_SOFTWARE = "infbrush_wsi phantom (synthetic image, not a patient)"
_CORNER = (500_000.0, 4_420_000.0)


def write_phantom_slide(
    path: str | os.PathLike[str],
    label: TissueClass,
    *,
    size: tuple[int, int] = (2048, 2048),
    mpp: float = 0.5,
    seed: int = 0,
) -> Path:
    """Write an H&E phantom as a tiled, JPEG-compressed, pyramidal TIFF; an existing file is replaced.

    The levels are successive pages marked as reduced images, which is the layout that OpenSlide reads (as
    'generic-tiff'); the resolution tags give it the pixel size.

    Args:
        path: the file; missing folders are made.
        label: 'Normal', 'Benign', 'InSitu' or 'Invasive'.
        size: (w, h) of level 0 in pixels.
        mpp: pixel size of level 0 in µm.
        seed: selects the slide.

    Returns:
        The path of the finished file.

    Raises:
        ConfigError: if the class or the seed is not valid.
        RegionError: if the size or pixel size is not valid.
        MissingExtraError: if tifffile or imagecodecs is not installed.
        OutputError: if the file cannot be written; nothing is left behind.
    """
    import dask.array as da

    from infbrush_wsi.writers.tiff import write_tiff

    shape = _size(size).shape
    image = hne_image(label, shape, mpp, seed)
    target = _in_folder(path)
    return write_tiff(
        da.from_array(image, chunks=(_READ, _READ, 3)),
        target,
        lattice=Lattice.regular(shape, mpp),
        provenance=_provenance(seed) | {"class": label},
        software=_SOFTWARE,
        overwrite=True,
    )


def write_phantom_raster(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] = (1024, 1024),
    resolution: float = 0.6,
    crs: str = "EPSG:26914",
    seed: int = 0,
    nodata: int | None = None,
) -> Path:
    """Write an aerial phantom as a tiled, losslessly compressed 4-band GeoTIFF; an existing file is replaced.

    It has overviews, band descriptions ('red', 'green', 'blue', 'nir') and, with `nodata`, an empty border around a
    slightly rotated picture, as mosaics have. No pixel of the picture itself takes the nodata value.

    Args:
        path: the file; missing folders are made.
        size: (w, h) in pixels.
        resolution: pixel size in metres.
        crs: a projected coordinate reference system in metres.
        seed: selects the piece of country.
        nodata: value from 0 to 255 of the empty border; None for a full picture.

    Returns:
        The path of the finished file.

    Raises:
        ConfigError: if the CRS, the nodata value or the seed is not valid.
        RegionError: if the size or pixel size is not valid.
        MissingExtraError: if rasterio is not installed.
        OutputError: if the file cannot be written; nothing is left behind.
    """
    import dask.array as da

    from infbrush_wsi.writers.geotiff import write_geotiff

    rasterio = require("rasterio", extra="geo", purpose="write a phantom raster")
    system = _metric_crs(rasterio, crs)
    if nodata is not None and not 0 <= nodata <= 255:
        raise ConfigError(f"nodata of an 8-bit raster must lie between 0 and 255, not {nodata!r}")
    shape = _size(size).shape
    picture = aerial_image(shape, resolution, seed)
    if nodata is not None:
        picture = _with_border(picture, nodata)
    transform = Affine(resolution, 0, _CORNER[0], 0, -resolution, _CORNER[1])
    return write_geotiff(
        da.from_array(picture, chunks=(_READ, _READ, len(BAND_NAMES))),
        _in_folder(path),
        lattice=Lattice(shape, transform, "meter", system.to_string()),
        provenance=_provenance(seed),
        channel_names=BAND_NAMES,
        nodata=nodata,
        software=_SOFTWARE,
        overwrite=True,
    )


def write_phantom_collection(
    directory: str | os.PathLike[str],
    *,
    per_class: int = 2,
    size: tuple[int, int] = (2048, 2048),
    mpp: float = 0.5,
    seed: int = 0,
) -> dict[str, list[Path]]:
    """Write a small labelled collection: ``slides/<Class>/<Class>_<k>.tif`` and ``aerial/aerial.tif``.

    The k-th slides of all classes share their stain, so that the stain tells nothing about the class.

    Args:
        directory: where to; made if missing.
        per_class: slides of each class.
        size: (w, h) of each slide in pixels; the aerial raster has half of it, at least 256.
        mpp: pixel size of the slides in µm.
        seed: selects the collection.

    Returns:
        The paths by class name, and of the raster under 'aerial'.

    Raises:
        ConfigError: if `per_class` is not an integer >= 1, or as :func:`write_phantom_slide`.
        RegionError: as :func:`write_phantom_slide`.
        MissingExtraError: if tifffile, imagecodecs or rasterio is not installed.
        OutputError: if a file cannot be written; the file in question is left out, earlier ones stay.
    """
    if isinstance(per_class, bool) or not isinstance(per_class, int) or per_class < 1:
        raise ConfigError(f"per_class must be an integer of at least 1, not {per_class!r}")
    root = Path(directory)
    paths: dict[str, list[Path]] = {}
    for label in CLASSES:
        names = [root / "slides" / label / f"{label}_{k}.tif" for k in range(per_class)]
        paths[label] = [
            write_phantom_slide(name, label, size=size, mpp=mpp, seed=1000 * seed + k) for k, name in enumerate(names)
        ]
    half = (max(256, size[0] // 2), max(256, size[1] // 2))
    paths["aerial"] = [write_phantom_raster(root / "aerial" / "aerial.tif", size=half, seed=seed)]
    return paths


def _size(size: tuple[int, int]) -> Size:
    w, h = size
    if w < 1 or h < 1:
        raise RegionError(f"size is (w, h) in pixels, at least 1 each, not {size!r}")
    return Size(int(w), int(h))


def _provenance(seed: int) -> dict[str, Any]:
    return {"synthetic": True, "system": "phantom", "seed": seed}


def _in_folder(path: str | os.PathLike[str]) -> Path:
    """The path, with its folder made.

    Raises:
        OutputError: if the folder cannot be made.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder of {target}: {error}") from error
    return target


def _metric_crs(rasterio: Any, crs: str) -> Any:
    """The coordinate reference system, refused unless it is projected in metres."""
    errors = require("rasterio.errors", extra="geo", purpose="write a phantom raster")
    try:
        system = rasterio.crs.CRS.from_user_input(crs)
    except errors.CRSError as error:
        raise ConfigError(f"{crs!r} is not a coordinate reference system that PROJ knows: {error}") from error
    if not system.is_projected or system.linear_units_factor[1] != 1.0:
        raise ConfigError(f"{crs!r} is not projected in metres, in which the phantom's pixel size is given")
    return system


def _with_border(picture: NDArray[np.uint8], nodata: int) -> NDArray[np.uint8]:
    """The picture cut to a slightly rotated rectangle, `nodata` outside of it and nowhere within."""
    h, w, _ = picture.shape
    y, x = (np.arange(h)[:, None] + 0.5) / h - 0.5, (np.arange(w)[None, :] + 0.5) / w - 0.5
    outside = np.maximum(np.abs(0.995 * y + 0.1 * x), np.abs(0.995 * x - 0.1 * y)) > 0.45
    valid = np.where(picture == nodata, nodata + 1 if nodata < 255 else 254, picture)
    return np.where(outside[..., None], nodata, valid).astype(np.uint8)
