"""Where pixels are, in the words of the CF conventions: x, y and spatial_ref."""

from __future__ import annotations

import numpy as np
import xarray as xr

from infbrush_wsi.domain import Lattice, centres
from infbrush_wsi.writers.spatial import GRID_MAPPING, axis_attributes, grid_mapping, parse_crs


def coordinates(lattice: Lattice) -> dict[str, xr.Variable]:
    """Centres of the pixels in the lattice's unit and, with a CRS, its grid mapping with the GeoTransform.

    A rotated lattice has no x and y of one dimension each; its place is in the GeoTransform alone, which it then has
    without a CRS too.

    Raises:
        ConfigError: if the CRS is not known.
        MissingExtraError: if there is a CRS and pyproj is not installed.
    """
    t = lattice.transform
    crs = None if lattice.crs is None else parse_crs(lattice.crs, "tell xarray the coordinate reference system")
    found: dict[str, xr.Variable] = {}
    if not (t.b or t.d):
        found["x"] = xr.Variable("x", t.c + t.a * centres(0, lattice.shape.w), axis_attributes("x", lattice.unit, crs))
        found["y"] = xr.Variable("y", t.f + t.e * centres(0, lattice.shape.h), axis_attributes("y", lattice.unit, crs))
    if crs is not None or t.b or t.d:
        found[GRID_MAPPING] = xr.Variable((), np.int64(0), grid_mapping(lattice, crs))
    return found
