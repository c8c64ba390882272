"""A canvas as xarray objects: named axes and physical coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from infbrush_wsi.domain import Lattice, centres

if TYPE_CHECKING:
    from infbrush_wsi.canvas.canvas import Canvas


def labelled_level(canvas: Canvas, level: int) -> xr.DataArray:
    """(y, x, band) uint8, lazy, with the coordinates of pixel centres in the lattice's unit.

    Attributes hold mpp, unit, CRS (WKT or authority string) and provenance. Rotated lattices have pixel coordinates
    and their transform as an attribute instead.
    """
    data = canvas.to_dask(level)
    lattice = canvas.lattice.downsampled(2**level) if level else canvas.lattice
    y, x, turned = _axes(lattice)
    attributes: dict[str, Any] = {"unit": lattice.unit, "provenance": canvas.provenance}
    if lattice.mpp is not None:
        attributes["mpp"] = lattice.mpp
    if lattice.crs is not None:
        attributes["crs"] = lattice.crs
    if turned:
        attributes["transform"] = tuple(lattice.transform)[:6]
    coords = {
        "y": ("y", y, {"units": "pixel" if turned else lattice.unit}),
        "x": ("x", x, {"units": "pixel" if turned else lattice.unit}),
        "band": ("band", np.array(canvas.channel_names, dtype=object)),
    }
    return xr.DataArray(data, dims=("y", "x", "band"), coords=coords, name="image", attrs=attributes)


def labelled_pyramid(canvas: Canvas) -> xr.DataTree:
    """Levels as children scale0, scale1, ... of a DataTree, each a Dataset with the variable 'image'."""
    groups = {f"scale{k}": labelled_level(canvas, k).to_dataset() for k in range(canvas.level_count)}
    return xr.DataTree.from_dict(groups, name="canvas")


def _axes(lattice: Lattice) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    t = lattice.transform
    rows, columns = centres(0, lattice.shape.h), centres(0, lattice.shape.w)
    if t.b or t.d:
        return rows, columns, True
    return t.f + t.e * rows, t.c + t.a * columns, False
