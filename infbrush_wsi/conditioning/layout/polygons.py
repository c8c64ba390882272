"""A layout from polygons: the condition of a node is that of the last polygon that covers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from infbrush_wsi.conditioning.layout.areas import Area, Floats, shapely
from infbrush_wsi.conditioning.layout.base import Indices, Integers, Layout, check_cell
from infbrush_wsi.conditioning.layout.condition import Condition, as_condition, conditions_from_json
from infbrush_wsi.conditioning.layout.features import rings_of
from infbrush_wsi.conditioning.layout.packing import Pack
from infbrush_wsi.errors import ConditionError


class PolygonLayout(Layout):
    """Conditions inside polygons, later ones over earlier ones; made by `polygons_from_geojson`.

    A node on a border belongs to the polygon, so that neighbours leave no gap between them.

    Args:
        polygons: outline and holes of each, arrays (n, 2) of x and y in units of the canvas, from its top left corner.
        owners: what each polygon is: the place of its condition in `conditions`.
        conditions: of which the first is the background.
        cell: distance of the nodes in units of the canvas.

    Raises:
        ConditionError: if there is no polygon, or the cell is not positive.
    """

    kind: ClassVar[str] = "polygons"

    def __init__(
        self,
        polygons: Sequence[Sequence[Floats]],
        owners: Sequence[int],
        conditions: Sequence[str | ArrayLike | None],
        cell: float,
    ) -> None:
        if not polygons or len(polygons) != len(owners):
            raise ConditionError(f"a layout of polygons needs an owner for each, not {len(owners)} for {len(polygons)}")
        self.cell = check_cell(cell)
        self._conditions = tuple(as_condition(condition) for condition in conditions)
        if not all(0 <= owner < len(self._conditions) for owner in owners):
            raise ConditionError(f"a polygon has a condition beyond the {len(self._conditions)} that are there")
        self._owners = tuple(owners)
        self._build([list(rings) for rings in polygons])

    def _build(self, polygons: list[list[Floats]]) -> None:
        library = shapely()
        self._areas = tuple(Area.of(rings) for rings in polygons)
        bodies = [area.body for area in self._areas]
        self._tree = library.STRtree(bodies)
        self._bounds: Floats = library.bounds(bodies)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Index 0 is the background."""
        return self._conditions

    @property
    def parts(self) -> tuple[tuple[Area, int], ...]:
        """The polygons in their order, with the place of their condition in `conditions`."""
        return tuple(zip(self._areas, self._owners, strict=True))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of all polygons in units of the canvas."""
        low, high = self._bounds[:, :2].min(axis=0), self._bounds[:, 2:].max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @property
    def crossing(self) -> tuple[int, ...]:
        """Numbers of the polygons that cross themselves; they are filled by the even-odd rule."""
        return tuple(number for number, area in enumerate(self._areas) if not area.valid)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> PolygonLayout:
        """From the content of its JSON.

        Raises:
            ConditionError: if it is damaged.
        """
        polygons = [rings_of(each, "a stored layout") for each in record["polygons"]["coordinates"]]
        owners = [int(owner) for owner in record["owners"]]
        return cls(polygons, owners, conditions_from_json(record["conditions"]), record["cell"])

    def _nodes(self, rows: Integers, columns: Integers) -> Indices:
        found = np.zeros(len(rows), np.int32)
        if not len(rows):
            return found
        x, y = (columns + 0.5) * self.cell, (rows + 0.5) * self.cell
        window = shapely().box(x.min(), y[0], x.max(), y[-1])
        for number in np.sort(self._tree.query(window)):
            x0, y0, x1, y1 = self._bounds[number]
            first, last = np.searchsorted(y, y0), np.searchsorted(y, y1, side="right")
            some = first + np.flatnonzero((x[first:last] >= x0) & (x[first:last] <= x1))
            if len(some):
                found[some[self._areas[number].covers(x[some], y[some])]] = self._owners[number]
        return found

    def _record(self, pack: Pack) -> dict[str, Any]:
        coordinates = [[ring.tolist() for ring in area.rings] for area in self._areas]
        return {
            "conditions": self._conditions,
            "owners": self._owners,
            "polygons": {"type": "MultiPolygon", "coordinates": coordinates},
        }

    def __reduce__(self) -> tuple[Any, ...]:
        # Search trees are made anew: shapely pickles polygons without theirs.
        return PolygonLayout, ([area.rings for area in self._areas], self._owners, self._conditions, self.cell)
