"""Canvases as xarray objects that rioxarray understands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from infbrush_wsi.plugins.pyramid import pyramid_of
from infbrush_wsi.plugins.xarray.labelled import chunked_pixels, dataset, groups

if TYPE_CHECKING:
    from infbrush_wsi.canvas import Canvas


def canvas_dataset(canvas: Canvas, level: int = 0) -> xr.Dataset:
    """One level of a canvas: 'image' (band, y, x) as a dask array of uint8; nothing is computed until it is.

    It differs from `Canvas.to_xarray` in the order of the axes and in that a CRS is told by a grid mapping
    (``spatial_ref``), so that rioxarray reads CRS and transform and writes GeoTIFFs of it.

    Raises:
        RegionError: if the level does not exist.
        ConfigError: if the canvas has a CRS that is not known.
        MissingExtraError: if it has one and pyproj is not installed.
    """
    pyramid = pyramid_of(canvas)
    return dataset(pyramid, level, chunked_pixels(pyramid, level))


def canvas_datatree(canvas: Canvas) -> xr.DataTree:
    """All levels of a canvas as the children scale0, scale1, ... of a tree, see `canvas_dataset`."""
    return xr.DataTree.from_dict(groups(pyramid_of(canvas), chunked=True), name="canvas")
