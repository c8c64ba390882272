"""Where pixels are, in the words of the CF conventions: x, y and spatial_ref."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from infbrush_wsi._optional import require
from infbrush_wsi.domain import Lattice, centres
from infbrush_wsi.errors import ConfigError

GRID_MAPPING = "spatial_ref"


def coordinates(lattice: Lattice) -> dict[str, xr.Variable]:
    """Centres of the pixels in the lattice's unit and, with a CRS, its grid mapping with the GeoTransform.

    A rotated lattice has no x and y of one dimension each; its place is in the GeoTransform alone, which it then has
    without a CRS too.

    Raises:
        ConfigError: if the CRS is not known.
        MissingExtraError: if there is a CRS and pyproj is not installed.
    """
    t = lattice.transform
    crs = None if lattice.crs is None else _parse(lattice.crs)
    found: dict[str, xr.Variable] = {}
    if not (t.b or t.d):
        found["x"] = xr.Variable("x", t.c + t.a * centres(0, lattice.shape.w), _axis("x", lattice.unit, crs))
        found["y"] = xr.Variable("y", t.f + t.e * centres(0, lattice.shape.h), _axis("y", lattice.unit, crs))
    if crs is not None or t.b or t.d:
        found[GRID_MAPPING] = xr.Variable((), np.int64(0), _grid_mapping(lattice, crs))
    return found


def _grid_mapping(lattice: Lattice, crs: Any) -> dict[str, Any]:
    t = lattice.transform
    # GDAL's order: corner x, a, b, corner y, d, e.
    place = {"GeoTransform": " ".join(repr(float(value)) for value in (t.c, t.a, t.b, t.f, t.d, t.e))}
    if crs is None:
        return place
    wkt = crs.to_wkt()
    return {**crs.to_cf(), "crs_wkt": wkt, "spatial_ref": wkt, **place}


def _parse(crs: str) -> Any:
    pyproj = require("pyproj", extra="geo", purpose="tell xarray the coordinate reference system")
    try:
        return pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise ConfigError(
            f"the coordinate reference system {crs[:80]!r} is not known; give an authority code such as 'EPSG:26914', "
            f"or WKT ({error})"
        ) from error


def _axis(name: str, unit: str, crs: Any) -> dict[str, str]:
    letter = name.upper()
    described = [] if crs is None else crs.cs_to_cf()
    return next((dict(axis) for axis in described if axis.get("axis") == letter), {"axis": letter, "units": unit})
