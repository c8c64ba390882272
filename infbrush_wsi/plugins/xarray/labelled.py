"""A level of a pyramid as a Dataset."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from infbrush_wsi.plugins.pyramid import Pixels, Pyramid
from infbrush_wsi.plugins.xarray.place import coordinates
from infbrush_wsi.writers.spatial import GRID_MAPPING

DIMENSIONS = ("band", "y", "x")
"""As rioxarray wants them, and as OME-Zarr stores them."""
IMAGE = "image"


class LazyPixels(BackendArray):
    """Pixels (h, w, C) as xarray's lazy (C, h, w); a window is read when its values are asked for."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self.dtype = pixels.dtype
        h, w, bands = pixels.shape
        self.shape = (bands, h, w)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[np.uint8]:
        band, rows, columns = key
        window = self.pixels[rows, columns, band]
        return np.moveaxis(window, -1, 0) if isinstance(band, slice) else window


def dataset(pyramid: Pyramid, level: int, data: Any = None) -> xr.Dataset:
    """A level with its coordinates, attributes and the variable 'image' (band, y, x).

    Args:
        pyramid: the image.
        level: of it.
        data: pixels (C, h, w) in some other form, such as a dask array; None: xarray's own lazy arrays.

    Raises:
        RegionError: if the level does not exist.
        ConfigError: if its CRS is not known.
    """
    pixels = pyramid.pixels[pyramid.check_level(level)]
    lattice = pyramid.lattices[level]
    place = coordinates(lattice)
    h, w, bands = pixels.chunks
    encoding: dict[str, Any] = {"preferred_chunks": {"band": bands, "y": h, "x": w}}
    if GRID_MAPPING in place:
        encoding["grid_mapping"] = GRID_MAPPING
    values = indexing.LazilyIndexedArray(LazyPixels(pixels)) if data is None else data
    image = xr.Variable(DIMENSIONS, values, {"long_name": list(pyramid.channel_names)}, encoding)
    names = xr.Variable("band", np.array(pyramid.channel_names, dtype=object))
    return xr.Dataset({IMAGE: image}, {"band": names, **place}, _attributes(pyramid, level))


def groups(pyramid: Pyramid, *, chunked: bool) -> dict[str, xr.Dataset]:
    """All levels under the names that `Canvas.to_datatree` gives them: scale0, scale1, ..."""
    return {
        f"scale{level}": dataset(pyramid, level, chunked_pixels(pyramid, level) if chunked else None)
        for level in range(pyramid.level_count)
    }


def chunked_pixels(pyramid: Pyramid, level: int) -> Any:
    """A level as a dask array (C, h, w)."""
    return pyramid.to_dask(level).transpose(2, 0, 1)


def _attributes(pyramid: Pyramid, level: int) -> dict[str, Any]:
    """Plain values only, so that a Dataset can be written to netCDF and Zarr as it is."""
    lattice = pyramid.lattices[level]
    found: dict[str, Any] = {"title": pyramid.name, "unit": lattice.unit, "level": level}
    if lattice.mpp is not None:
        found["mpp"] = lattice.mpp
    if pyramid.provenance:
        found["synthetic"] = int(bool(pyramid.provenance.get("synthetic", False)))
        found["provenance"] = json.dumps(dict(pyramid.provenance), sort_keys=True)
    return found
