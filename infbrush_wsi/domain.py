"""Where pixels are: extents, lattices and levels in physical units.

Conventions, everywhere in the package:

* A pixel is a cell; its value belongs to the *centre* of the cell. Pixel ``(i, j)`` (row, column) of a lattice has
  the continuous pixel coordinate ``x = j + 0.5, y = i + 0.5``.
* Points are :class:`XY`, sizes are :class:`Size` (w, h), array shapes are :class:`Shape` (h, w). None of them is a
  tuple, so none can be taken for another by position; ``Size.shape`` and ``Shape.size`` convert.
* Windows of a lattice are :class:`Box` (integer, x0, y0, w, h); ``Box.slices`` gives (rows, columns) for an array.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from infbrush_wsi.errors import RegionError

MICROMETERS_PER_UNIT = {"micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6, "kilometer": 1e9}
"""Length units whose pixel size can be given in micrometres; 'degree' and 'pixel' are known but not lengths."""


@dataclass(frozen=True, slots=True)
class XY:
    """A point or a pair of per-axis quantities: x to the right (columns), y downwards (rows)."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in whole pixels, in the order of image libraries."""

    w: int
    h: int

    @property
    def shape(self) -> Shape:
        """The same as rows and columns."""
        return Shape(self.h, self.w)


@dataclass(frozen=True, slots=True)
class Shape:
    """Rows and columns in whole pixels, in the order of arrays."""

    h: int
    w: int

    @property
    def size(self) -> Size:
        """The same as width and height."""
        return Size(self.w, self.h)

    @property
    def count(self) -> int:
        """Number of pixels."""
        return self.h * self.w

    def as_tuple(self) -> tuple[int, int]:
        """(h, w), for numpy."""
        return (self.h, self.w)


@dataclass(frozen=True, slots=True)
class Box:
    """A window of a lattice in whole pixels; it may reach outside the lattice (a halo does)."""

    x0: int
    y0: int
    w: int
    h: int

    @property
    def x1(self) -> int:
        """First column after the window."""
        return self.x0 + self.w

    @property
    def y1(self) -> int:
        """First row after the window."""
        return self.y0 + self.h

    @property
    def shape(self) -> Shape:
        """Rows and columns of the window."""
        return Shape(self.h, self.w)

    @property
    def slices(self) -> tuple[slice, slice]:
        """(rows, columns) to index an array of the whole lattice; the box must not start outside."""
        if self.x0 < 0 or self.y0 < 0:
            raise RegionError(f"{self} starts outside its lattice; clip it before slicing an array")
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def empty(self) -> bool:
        """Whether it holds no pixel."""
        return self.w <= 0 or self.h <= 0

    def pad(self, margin: int) -> Box:
        """The box grown by `margin` pixels on every side."""
        return Box(self.x0 - margin, self.y0 - margin, self.w + 2 * margin, self.h + 2 * margin)

    def intersect(self, other: Box) -> Box:
        """The common part (possibly empty)."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        return Box(x0, y0, max(0, min(self.x1, other.x1) - x0), max(0, min(self.y1, other.y1) - y0))

    def clip(self, shape: Shape) -> Box:
        """The part inside a lattice of `shape`."""
        return self.intersect(Box(0, 0, shape.w, shape.h))

    def cells(self, side: float) -> Box:
        """The cells of a lattice with the same corner that the box touches; `side` is theirs in pixels."""
        x0, y0 = math.floor(self.x0 / side), math.floor(self.y0 / side)
        return Box(x0, y0, math.ceil(self.x1 / side) - x0, math.ceil(self.y1 / side) - y0)

    def relative_to(self, other: Box) -> Box:
        """The same window in the frame whose origin is `other`'s corner."""
        return replace(self, x0=self.x0 - other.x0, y0=self.y0 - other.y0)


def tiles(shape: Shape, side: int) -> Iterator[Box]:
    """Cut a lattice into boxes of `side` pixels (smaller at the right and bottom), in row-major order."""
    for y0 in range(0, shape.h, side):
        for x0 in range(0, shape.w, side):
            yield Box(x0, y0, min(side, shape.w - x0), min(side, shape.h - y0))


@dataclass(frozen=True, slots=True)
class Extent:
    """A rectangle in physical units: corner `origin` and side lengths `w`, `h` > 0 in `unit`."""

    origin: XY
    w: float
    h: float
    unit: str = "micrometer"


@dataclass(frozen=True)
class Lattice:
    """A regular grid of pixel cells in physical space.

    Attributes:
        shape: rows and columns.
        transform: continuous pixel coordinate (x, y) → physical coordinate in `unit` (rasterio's convention: the
            *corner* of pixel (0, 0) is at pixel coordinate (0, 0)).
        unit: OME / UDUNITS name: 'micrometer' for slides, 'meter' or 'degree' for rasters, 'pixel' if unknown.
        crs: WKT or authority string of the coordinate reference system; None for slides.
    """

    shape: Shape
    transform: Affine
    unit: str = "micrometer"
    crs: str | None = None

    @classmethod
    def regular(cls, shape: Shape, spacing: float, unit: str = "micrometer") -> Lattice:
        """A lattice of square cells with its corner at the origin."""
        return cls(shape, Affine.scale(spacing), unit)

    @property
    def spacing(self) -> XY:
        """Length of a pixel's sides in `unit`."""
        t = self.transform
        return XY(math.hypot(t.a, t.d), math.hypot(t.b, t.e))

    @property
    def mpp(self) -> float | None:
        """Micrometres per pixel (geometric mean of both axes), or None if the unit is not a length."""
        factor = MICROMETERS_PER_UNIT.get(self.unit)
        return None if factor is None else factor * math.sqrt(self.spacing.x * self.spacing.y)

    @property
    def extent(self) -> Extent:
        """The rectangle that the lattice covers, in the lattice's own axes (rotation is left in `transform`)."""
        origin = self.transform @ (0.0, 0.0)
        spacing = self.spacing
        return Extent(XY(*origin), spacing.x * self.shape.w, spacing.y * self.shape.h, self.unit)

    def window(self, box: Box) -> Lattice:
        """The lattice of a window: its own corner, the same spacing."""
        return replace(self, shape=box.shape, transform=self.transform @ Affine.translation(box.x0, box.y0))

    def downsampled(self, factor: int) -> Lattice:
        """The next pyramid level: cells of `factor` pixels; an odd last row or column is kept (rounded up)."""
        shape = Shape(-(-self.shape.h // factor), -(-self.shape.w // factor))
        return replace(self, shape=shape, transform=self.transform @ Affine.scale(factor))

    def resampled(self, spacing: float) -> Lattice:
        """The same extent with square cells of about `spacing` units: at least one pixel, sides rounded.

        Raises:
            RegionError: if `spacing` is not positive and finite.
        """
        if not (math.isfinite(spacing) and spacing > 0):
            raise RegionError(f"a pixel size must be positive, not {spacing!r}")
        sx, sy = spacing / self.spacing.x, spacing / self.spacing.y
        shape = Shape(max(1, round(self.shape.h / sy)), max(1, round(self.shape.w / sx)))
        return replace(self, shape=shape, transform=self.transform @ Affine.scale(sx, sy))


def centres(start: int, count: int) -> NDArray[np.float64]:
    """Continuous coordinates of `count` pixel centres from index `start`: start + 0.5, ... (float64, (count,))."""
    return np.arange(start, start + count, dtype=np.float64) + 0.5
