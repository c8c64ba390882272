"""The layout of a written image as GeoJSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from infbrush_wsi._optional import require
from infbrush_wsi.cli.console import notice
from infbrush_wsi.cli.provenance import provenance_of
from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from infbrush_wsi.sources.base import Source

LABELS = Path("labels") / "layout"


def write_outlines(source: Source, out: Path, overwrite: bool) -> None:
    """Write the areas that a store was painted by: in level-0 pixels, or in the CRS where there is one.

    Raises:
        ConfigError: if it has no layout, or lies askew on its CRS.
        ConditionError: if its layout cannot be read or has no areas.
        OutputError: if the file cannot be written.
    """
    from infbrush_wsi.conditioning.layout import raster_from_file, write_geojson

    labels, lattice = Path(source.path) / LABELS, source.lattice
    if not labels.is_dir():
        raise ConfigError(
            f"'{source.path}' has no layout; a store that 'infbrush generate --paint' has written has one"
        )
    place, spacing = lattice.transform, lattice.spacing
    if lattice.crs is not None and (place.b or place.d or place.a <= 0 or place.e >= 0):
        raise ConfigError(f"'{source.path}' is not north up, so its layout cannot be given in its CRS")
    layout = raster_from_file(labels)
    where: dict[str, Any]
    if lattice.crs is None:
        where = {"mpp": (spacing.x, spacing.y)}
    else:
        where = {"unit": "crs", "offset": (place.c, place.f), "crs": _authority(lattice.crs)}
    size = (spacing.x * lattice.shape.w, spacing.y * lattice.shape.h)
    write_geojson(layout, out, **where, size=size, provenance=provenance_of(source), overwrite=overwrite)


def _authority(crs: str) -> str | None:
    """'EPSG:26914' of a CRS, or None, with a warning, if it is in no register."""
    rasterio = require("rasterio.crs", extra="geo", purpose="name a CRS")
    found = rasterio.CRS.from_user_input(crs).to_authority()
    if found is None:
        notice(
            "warning: the CRS is in no register, so the GeoJSON does not name it; give it to the program that reads it"
        )
        return None
    return ":".join(found)
