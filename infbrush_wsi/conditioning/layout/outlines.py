"""The areas of a layout as polygons, from wherever it was made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from affine import Affine

from infbrush_wsi._optional import require
from infbrush_wsi.conditioning.layout.areas import Area, Floats, shapely
from infbrush_wsi.conditioning.layout.base import Layout
from infbrush_wsi.conditioning.layout.features import MAX_FEATURES, MAX_VERTICES
from infbrush_wsi.conditioning.layout.polygons import PolygonLayout
from infbrush_wsi.conditioning.layout.raster import RasterLayout
from infbrush_wsi.errors import ConditionError


@dataclass(frozen=True)
class Outline:
    """A polygon of one condition.

    Attributes:
        rings: outline and holes, closed, each (n, 2) as x and y in units of the canvas, from its top left corner.
        owner: place of its condition in the layout's `conditions`.
        valid: whether it neither crosses itself nor its holes.
    """

    rings: list[Floats]
    owner: int
    valid: bool = True

    @classmethod
    def of(cls, area: Area, owner: int) -> Outline:
        """A polygon as it was drawn."""
        return cls(area.rings, owner, area.valid)


def outlines(layout: Layout, size: tuple[float, float] | None = None) -> list[Outline]:
    """The areas of a layout in its order, without its background.

    Polygons are given as they were drawn, later ones over earlier ones. The connected pixels of a label raster become
    a polygon along their edges; such polygons do not overlap.

    Args:
        layout: made from polygons or a label raster.
        size: (w, h) of the image in units of the canvas: what lies beyond is cut off. Polygons that cross themselves
            are left whole.

    Raises:
        ConditionError: if the layout has no areas, or too many to be read again.
        MissingExtraError: for a label raster without rasterio.
    """
    if isinstance(layout, PolygonLayout):
        found: Iterable[Outline] = (Outline.of(area, owner) for area, owner in layout.parts)
    elif isinstance(layout, RasterLayout):
        found = _traced(layout, size)
    else:
        raise ConditionError(f"a layout of the kind '{layout.kind}' has no areas; polygons and label rasters have")
    kept: list[Outline] = []
    vertices = 0
    for outline in found:
        for part in (outline,) if size is None else _cut(outline, size):
            vertices += sum(len(ring) for ring in part.rings)
            kept.append(part)
        if len(kept) > MAX_FEATURES or vertices > MAX_VERTICES:
            raise ConditionError(
                f"the layout has more than {MAX_FEATURES} areas or {MAX_VERTICES} vertices, which nothing would read; "
                f"give it larger cells"
            )
    return kept


def _traced(layout: RasterLayout, size: tuple[float, float] | None) -> Iterator[Outline]:
    features = require("rasterio.features", extra="geo", purpose="outline the areas of a label raster")
    first, last = (0.0, 0.0), tuple(reversed(layout.indices.shape))
    if size is not None:
        first, last = (~layout.transform @ corner for corner in ((0.0, 0.0), size))
    columns, rows = (slice(max(0, int(low)), max(0, -int(-high // 1))) for low, high in zip(first, last, strict=True))
    indices = layout.indices[rows, columns]
    if not indices.size:
        return
    to_canvas = layout.transform @ Affine.translation(columns.start, rows.start)
    # Pixels that meet at a corner only are two areas: as one its outline would touch itself.
    for geometry, owner in features.shapes(indices, mask=indices != 0, connectivity=4, transform=to_canvas):
        polygon = shapely().geometry.shape(geometry)
        yield Outline([shapely().get_coordinates(ring) for ring in (polygon.exterior, *polygon.interiors)], int(owner))


def _cut(outline: Outline, size: tuple[float, float]) -> Iterator[Outline]:
    """The parts of a polygon that lie on the canvas."""
    library = shapely()
    low, high = outline.rings[0].min(axis=0), outline.rings[0].max(axis=0)
    if not outline.valid or (low.min() >= 0 and high[0] <= size[0] and high[1] <= size[1]):
        yield outline
        return
    polygon = library.Polygon(outline.rings[0], outline.rings[1:])
    for part in library.get_parts(library.intersection(polygon, library.box(0.0, 0.0, *size))):
        if part.geom_type == "Polygon" and not part.is_empty:
            yield Outline([library.get_coordinates(ring) for ring in (part.exterior, *part.interiors)], outline.owner)
