"""x, y and spatial_ref beside each level, after the CF conventions, so that xarray and rioxarray know the place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from infbrush_wsi._optional import require
from infbrush_wsi.domain import Lattice, centres
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.writers.arrays import create_variable
from infbrush_wsi.writers.layout import StoreLayout

if TYPE_CHECKING:
    import zarr

GRID_MAPPING = "spatial_ref"


def grid_mapping_attributes(lattice: Lattice) -> dict[str, str]:
    """Attributes of a level's image that point at its grid mapping; none without a CRS."""
    if lattice.crs is None:
        return {}
    # xarray finds the variable by "coordinates", CF readers by "grid_mapping".
    return {"grid_mapping": GRID_MAPPING, "coordinates": GRID_MAPPING}


def write_spatial_variables(root: zarr.Group, store: StoreLayout, number: int, lattice: Lattice) -> None:
    """Write x and y (pixel centres in the lattice's unit, float64) and, with a CRS, spatial_ref beside level `number`.

    A rotated lattice has no x and y of one dimension each; its place is in spatial_ref's GeoTransform alone.

    Raises:
        ConfigError: if the CRS is not known.
        MissingExtraError: if there is a CRS and pyproj is not installed.
    """
    t, group = lattice.transform, str(number)
    crs = None if lattice.crs is None else parse_crs(lattice.crs, "write a coordinate reference system")
    if t.b == 0 and t.d == 0:
        x = t.c + t.a * centres(0, lattice.shape.w)
        y = t.f + t.e * centres(0, lattice.shape.h)
        for name, values in (("x", x), ("y", y)):
            attributes = axis_attributes(name, lattice.unit, crs)
            create_variable(root, store, f"{group}/{name}", values, (name,), attributes)
    if crs is not None:
        attributes = grid_mapping(lattice, crs)
        create_variable(root, store, f"{group}/{GRID_MAPPING}", np.zeros((), np.int64), (), attributes)


def grid_mapping(lattice: Lattice, crs: Any) -> dict[str, Any]:
    """Attributes of spatial_ref: the lattice's GeoTransform and, if it is not None, a pyproj CRS."""
    t = lattice.transform
    # GDAL's order: corner x, a, b, corner y, d, e.
    place = {"GeoTransform": " ".join(repr(float(value)) for value in (t.c, t.a, t.b, t.f, t.d, t.e))}
    if crs is None:
        return place
    wkt = crs.to_wkt()
    return {**crs.to_cf(), "crs_wkt": wkt, "spatial_ref": wkt, **place}


def parse_crs(crs: str, purpose: str) -> Any:
    """The pyproj CRS of a WKT or authority string.

    Args:
        crs: as a lattice has it.
        purpose: what pyproj is needed for, for the error that it is missing.

    Raises:
        ConfigError: if the CRS is not known.
        MissingExtraError: if pyproj is not installed.
    """
    pyproj = require("pyproj", extra="geo", purpose=purpose)
    try:
        return pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise ConfigError(
            f"the coordinate reference system {crs[:80]!r} is not known; give an authority code such as 'EPSG:26914', "
            f"or WKT ({error})"
        ) from error


def axis_attributes(name: str, unit: str, crs: Any) -> dict[str, str]:
    """Attributes of the variable x or y: those that a pyproj CRS has for its axis, else the axis and the unit."""
    letter = name.upper()
    if crs is not None:
        for axis in crs.cs_to_cf():
            if axis.get("axis") == letter:
                return dict(axis)
    return {"axis": letter, "units": unit}
