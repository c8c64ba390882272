"""What is written at once: the files of a pyramid's pixels, every coarser one after the finer ones below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from infbrush_wsi.domain import Box, Shape

SIDE = 32
"""Units along a side of the tiles of level 0 that are handed to the scheduler at a time, a power of two."""


class Unit(NamedTuple):
    """One file of pixels (a chunk or a shard) by its level and place in it."""

    level: int
    row: int
    column: int


@dataclass(frozen=True)
class UnitGrid:
    """How a level is cut into units.

    Attributes:
        level: number of the level, 0 is the finest.
        shape: rows and columns of the level in pixels.
        side: rows and columns of a unit in pixels; those at the right and bottom are cut off.
    """

    level: int
    shape: Shape
    side: Shape

    @property
    def rows(self) -> int:
        """Units from top to bottom."""
        return -(-self.shape.h // self.side.h)

    @property
    def columns(self) -> int:
        """Units from left to right."""
        return -(-self.shape.w // self.side.w)

    @property
    def count(self) -> int:
        """Units in all."""
        return self.rows * self.columns

    def units(self) -> Iterator[Unit]:
        """All units in row-major order."""
        return Region(self, range(self.rows), range(self.columns)).units()

    def box(self, rows: range, columns: range) -> Box:
        """Pixels of a rectangle of units."""
        x0, y0 = columns.start * self.side.w, rows.start * self.side.h
        whole = Box(x0, y0, len(columns) * self.side.w, len(rows) * self.side.h)
        return whole.clip(self.shape)

    def box_of(self, unit: Unit) -> Box:
        """Pixels of one unit."""
        return self.box(range(unit.row, unit.row + 1), range(unit.column, unit.column + 1))

    def below(self, box: Box) -> Iterator[Unit]:
        """The units of this level that hold the 2 x 2 pixels below each pixel of `box` of the next coarser level."""
        fine = Box(2 * box.x0, 2 * box.y0, 2 * box.w, 2 * box.h).clip(self.shape)
        rows = range(fine.y0 // self.side.h, -(-fine.y1 // self.side.h))
        columns = range(fine.x0 // self.side.w, -(-fine.x1 // self.side.w))
        return Region(self, rows, columns).units()


@dataclass(frozen=True)
class Region:
    """A rectangle of units of one level."""

    grid: UnitGrid
    rows: range
    columns: range

    def units(self) -> Iterator[Unit]:
        """All units in row-major order."""
        level = self.grid.level
        return (Unit(level, row, column) for row in self.rows for column in self.columns)


def batches(grids: Sequence[UnitGrid], side: int = SIDE) -> Iterator[list[Region]]:
    """Cut a pyramid into batches of regions: tiles of `side` units of level 0 with what lies above them, then the top.

    Every unit is in one batch, and the units below it are in the same batch or an earlier one.

    Args:
        grids: of all levels, finest first.
        side: a power of two.
    """
    deep = side.bit_length()
    low, top = grids[:deep], grids[deep:]
    for tile_row in range(-(-grids[0].rows // side)):
        for tile_column in range(-(-grids[0].columns // side)):
            regions = [
                Region(grid, _part(tile_row, side >> k, grid.rows), _part(tile_column, side >> k, grid.columns))
                for k, grid in enumerate(low)
            ]
            yield [region for region in regions if region.rows and region.columns]
    if top:
        yield [Region(grid, range(grid.rows), range(grid.columns)) for grid in top]


def _part(tile: int, length: int, count: int) -> range:
    return range(min(tile * length, count), min((tile + 1) * length, count))
