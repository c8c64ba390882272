"""The OME block of a store: axes, levels with their physical scale, rendering."""

from __future__ import annotations

from typing import Any

from affine import Affine

from infbrush_wsi import __version__
from infbrush_wsi.domain import MICROMETERS_PER_UNIT, Lattice
from infbrush_wsi.writers.channels import omero
from infbrush_wsi.writers.image import ImageMeta
from infbrush_wsi.writers.layout import StoreLayout


def ome_attributes(meta: ImageMeta, store: StoreLayout, levels: int) -> dict[str, Any]:
    """Attributes of the root group, as the version of the store wants them."""
    multiscale: dict[str, Any] = {
        "name": meta.name,
        "axes": _axes(meta.lattice.unit),
        "datasets": [
            {
                "path": store.level_path(number),
                "coordinateTransformations": coordinate_transformations(meta.lattice, number),
            }
            for number in range(levels)
        ],
        "type": "mean",
        "metadata": {
            "description": "mean of 2 x 2 pixels of the next finer level, rounded half up",
            "method": "infbrush_wsi.writers.write_ome_zarr",
            "version": __version__,
        },
    }
    rendering = omero(meta, store.version)
    if store.version == "0.4":
        return {"multiscales": [{"version": "0.4", **multiscale}], "omero": rendering}
    return {"ome": {"version": "0.5", "multiscales": [multiscale], "omero": rendering}}


def coordinate_transformations(lattice: Lattice, number: int) -> list[dict[str, Any]]:
    """Scale and translation of level `number`, in (c, y, x) and the lattice's unit.

    Translations are of pixel centres: level k lies (2**k - 1) / 2 level-0 pixels further in than level 0. They start
    from the lattice's corner where that can be said in OME's terms (a slide); a raster's y runs against its rows, so it
    starts from zero and its place in the world stands in x, y and spatial_ref, and in `infbrush_wsi.lattice`.
    """
    spacing = lattice.spacing
    x0, y0 = (lattice.transform.c, lattice.transform.f) if _is_upright(lattice.transform) else (0.0, 0.0)
    shift = (2**number - 1) / 2
    return [
        {"type": "scale", "scale": [1.0, spacing.y * 2**number, spacing.x * 2**number]},
        {"type": "translation", "translation": [0.0, y0 + shift * spacing.y, x0 + shift * spacing.x]},
    ]


def _is_upright(transform: Affine) -> bool:
    return transform.a > 0 and transform.e > 0 and transform.b == 0 and transform.d == 0


def _axes(unit: str) -> list[dict[str, str]]:
    space = {"type": "space"}
    # OME-Zarr knows lengths only: degrees and unknown units are left out rather than mislabelled.
    if unit in MICROMETERS_PER_UNIT:
        space["unit"] = unit
    return [{"name": "c", "type": "channel"}, {"name": "y", **space}, {"name": "x", **space}]
