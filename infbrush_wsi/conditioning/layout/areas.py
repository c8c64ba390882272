"""Polygons that can be asked which nodes lie in them: exactly, in any order, from any thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def shapely() -> Any:
    """The library, imported on use."""
    import shapely as library

    return library


@dataclass(frozen=True)
class Area:
    """A polygon.

    Attributes:
        body: a prepared shapely polygon.
        valid: whether it neither crosses itself nor its holes.
        cuts: prepared holes, where they are not in `body` itself because the polygon is not valid.
    """

    body: Any
    valid: bool
    cuts: tuple[Any, ...] = ()

    @classmethod
    def of(cls, rings: Sequence[Floats]) -> Area:
        """From outline and holes.

        A polygon that crosses itself is filled as it is drawn, by the even-odd rule, less its holes. It is not
        repaired by computing new outlines, which for a scribble would take time and memory without bound.
        """
        library = shapely()
        whole = library.Polygon(rings[0], rings[1:])
        if library.is_valid(whole):
            return cls(_prepared(whole), valid=True)
        body, *cuts = (_prepared(library.Polygon(ring)) for ring in rings)
        return cls(body, valid=False, cuts=tuple(cuts))

    @property
    def rings(self) -> list[Floats]:
        """Outline and holes, closed, each (n, 2)."""
        library = shapely()
        return [
            library.get_coordinates(ring)
            for ring in (self.body.exterior, *self.body.interiors, *(cut.exterior for cut in self.cuts))
        ]

    def covers(self, x: Floats, y: Floats) -> NDArray[np.bool_]:
        """Which points (N,) lie in it or on its border."""
        library = shapely()
        found: NDArray[np.bool_] = library.intersects_xy(self.body, x, y)
        for cut in self.cuts:
            near = np.flatnonzero(found)
            found[near[library.contains_xy(cut, x[near], y[near])]] = False
        return found


def _prepared(polygon: Any) -> Any:
    """With its search tree built now: GEOS would build it at the first question, without a lock."""
    library = shapely()
    library.prepare(polygon)
    x, y = polygon.exterior.coords[0][:2]
    library.intersects_xy(polygon, x, y)
    library.contains_xy(polygon, x, y)
    return polygon
