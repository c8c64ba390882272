"""A layout as GeoJSON that QuPath imports as annotations and `polygons_from_geojson` reads again."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infbrush_wsi.conditioning.layout.areas import Floats
from infbrush_wsi.conditioning.layout.base import Layout
from infbrush_wsi.conditioning.layout.features import MAX_BYTES, has_area
from infbrush_wsi.conditioning.layout.frame import Frame, Unit
from infbrush_wsi.conditioning.layout.labels import label_name, label_numbers
from infbrush_wsi.conditioning.layout.outlines import outlines
from infbrush_wsi.errors import ConditionError
from infbrush_wsi.writers.files import staged_file
from infbrush_wsi.writers.label_metadata import label_colour
from infbrush_wsi.writers.provenance import KEY

DECIMALS: Mapping[Unit, int] = {"pixel": 6, "micrometer": 6, "crs": 9}
GREY = [128, 128, 128, 255]


def layout_to_geojson(
    layout: Layout,
    *,
    mpp: float | tuple[float, float] | None = None,
    unit: Unit = "pixel",
    offset: tuple[float, float] = (0.0, 0.0),
    size: tuple[float, float] | None = None,
    crs: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> str:
    """The areas of a layout as a GeoJSON FeatureCollection in QuPath's form.

    Every polygon is a feature with ``objectType: annotation`` and a ``classification`` of name and colour, in the
    layout's order. Colours are those of the label image that is written for the layout. The background is left out.
    Embeddings are called 'embedding 1', ... by their labels, areas without a condition 'no condition'.

    Args:
        layout: made from polygons or a label raster (`raster_from_file` reads a written label image).
        mpp: micrometres per pixel of the image at level 0, or (x, y); needed for the unit 'pixel'.
        unit: of the coordinates: 'pixel' of level 0 as QuPath has them, 'micrometer', or 'crs' (y upwards).
        offset: (x, y) of the canvas's top left corner in the file, in units of the canvas (µm, CRS units).
        size: (w, h) of the image in units of the canvas: what lies beyond is cut off.
        crs: of the coordinates, such as 'EPSG:26914', for the unit 'crs'. GDAL and QGIS read it; without it they take
            the coordinates for degrees.
        provenance: plain JSON, kept beside the features as ``infbrush_wsi``; QuPath passes over it.

    Raises:
        ConditionError: if the layout has no areas, or an argument is not valid.
        MissingExtraError: for a label raster without rasterio.
    """
    frame, decimals = Frame.of(mpp, unit, offset), DECIMALS[unit]
    found = outlines(layout, size)
    if not found:
        raise ConditionError("the layout is background everywhere, so there is no area to write")
    crossing = sum(not outline.valid for outline in found)
    if crossing:
        warnings.warn(
            f"{crossing} of {len(found)} polygons cross themselves; they are written as they were drawn, and other "
            f"programs may fill them differently"
        )
    kinds = [
        _properties(label_name(condition, number), number)
        for condition, number in zip(layout.conditions, label_numbers(layout).tolist(), strict=True)
    ]
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [_rounded(frame.off_canvas(ring), decimals) for ring in outline.rings],
            },
            "properties": kinds[outline.owner],
        }
        for outline in found
    ]
    document = {"type": "FeatureCollection", **_crs(crs, unit), "features": features, KEY: dict(provenance or {})}
    try:
        return json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConditionError(f"provenance must be plain JSON (text, numbers, lists, mappings): {error}") from error


def write_geojson(
    layout: Layout,
    path: str | os.PathLike[str],
    *,
    mpp: float | tuple[float, float] | None = None,
    unit: Unit = "pixel",
    offset: tuple[float, float] = (0.0, 0.0),
    size: tuple[float, float] | None = None,
    crs: str | None = None,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write `layout_to_geojson` into a file, which appears when it is complete.

    Args:
        layout: as there.
        path: of the file; QuPath wants it to end in .geojson or .json.
        mpp: as there, and so are the others.
        unit: as there.
        offset: as there.
        size: as there.
        crs: as there.
        provenance: as there.
        overwrite: replace a file of that name.

    Raises:
        ConditionError: as there, or if the text would be larger than what is read.
        MissingExtraError: as there.
        OutputExistsError: if there is a file and it may not be replaced.
        OutputError: if it cannot be written.
    """
    text = layout_to_geojson(layout, mpp=mpp, unit=unit, offset=offset, size=size, crs=crs, provenance=provenance)
    if len(text) > MAX_BYTES:
        raise ConditionError(
            f"the layout takes {len(text) >> 20} MiB of GeoJSON; at most {MAX_BYTES >> 20} MiB are read: give it "
            f"larger cells"
        )
    with staged_file(Path(path), overwrite=overwrite) as draft:
        draft.write_text(text, encoding="utf-8")
    return Path(path)


def _crs(crs: str | None, unit: Unit) -> dict[str, Any]:
    """The member of GeoJSON's first edition, which the second has dropped for degrees everywhere."""
    if crs is None:
        return {}
    authority, _, code = crs.partition(":")
    if unit != "crs" or not authority.isalpha() or not code.isalnum():
        raise ConditionError(f"a CRS is given as AUTHORITY:CODE, with unit='crs'; not {crs!r} with {unit!r}")
    return {"crs": {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{authority.upper()}::{code}"}}}


def _properties(name: str, number: int) -> dict[str, Any]:
    """What QuPath writes of an annotation; a name of several parts is a derived class there."""
    parts = [part.strip() for part in name.split(":")]
    named: dict[str, Any] = {"names": parts} if len(parts) > 1 and all(parts) else {"name": name}
    colour = label_colour(number) if number else GREY
    return {"objectType": "annotation", "classification": {**named, "color": colour[:3]}}


def _rounded(ring: Floats, decimals: int) -> list[list[float]]:
    """Without the last digits, which the ways to the canvas and back change; a ring may be too small for that."""
    shorter = np.round(ring, decimals) + 0.0  # no negative zeros
    points: list[list[float]] = (shorter if has_area(shorter) else ring).tolist()
    return points
