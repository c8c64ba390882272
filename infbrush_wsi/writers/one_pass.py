"""All levels in one pass: given ones are computed, and each coarser unit follows the four finer ones below it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box
from infbrush_wsi.errors import OutputError
from infbrush_wsi.writers.journal import Journal
from infbrush_wsi.writers.pyramid import halve
from infbrush_wsi.writers.running import run
from infbrush_wsi.writers.sink import ChunkSink, Progress, unit_file
from infbrush_wsi.writers.units import Region, Unit, UnitGrid, batches

if TYPE_CHECKING:
    import dask.array as da
    import zarr


class PyramidPass:
    """Writes the units of a pyramid that are missing, tile by tile of level 0; a unit has one task and a task one unit.

    Memory holds the graph of one tile and the blocks under way, whatever the size of the image. Blocks of the given
    levels that reach over the border of a tile are made once for each; there are none where blocks are units.

    Args:
        levels: lazy arrays (h, w, c), uint8, finest first; None and further ones are means of 2 x 2 pixels.
        arrays: where all levels go, (c, h, w).
        grids: how they are cut into units.
        progress: counts units.
        journal: where finished units are noted, if anywhere.
    """

    def __init__(
        self,
        levels: Sequence[da.Array | None],
        arrays: Sequence[zarr.Array[Any]],
        grids: Sequence[UnitGrid],
        progress: Progress,
        journal: Journal | None,
    ) -> None:
        self._levels = [*levels, *[None] * (len(arrays) - len(levels))]
        self._arrays, self._grids, self._progress = arrays, grids, progress
        self._sinks = [ChunkSink(array, progress, journal, number) for number, array in enumerate(arrays)]

    def write(self, done: Set[Unit]) -> None:
        """Write every unit that is not in `done`."""
        for regions in batches(self._grids):
            missing = [[unit for unit in region.units() if unit not in done] for region in regions]
            tasks = self._tasks([units for units in missing if units])
            if tasks:
                run(tasks, self._progress)

    def _tasks(self, missing: Sequence[list[Unit]]) -> list[Any]:
        """One delayed object for each of the missing units, which are given as one list a level, all in one graph."""
        from dask.delayed import Delayed
        from dask.highlevelgraph import HighLevelGraph

        name = f"write-{uuid.uuid4().hex}"
        keys, graph = self._given([units for units in missing if self._levels[units[0].level] is not None])
        for units in missing:
            for unit in units:
                if self._levels[unit.level] is None:
                    key = (name, *unit)
                    graph[key] = self._mean(unit, keys)
                    keys[unit] = key
        layers = HighLevelGraph.from_collections(name, graph, dependencies=())
        return [Delayed(key, layers, layer=name) for key in keys.values()]

    def _given(self, missing: Sequence[list[Unit]]) -> tuple[dict[Unit, Any], dict[Any, Any]]:
        """Keys and graph of the units of given levels; a block that several of them need is made once."""
        from dask.array import Array
        from dask.highlevelgraph import HighLevelGraph

        if not missing:
            return {}, {}
        regions = [_bounds(self._grids[units[0].level], units) for units in missing]
        written = [self._written(region) for region in regions]
        keys = {
            unit: (array.name, 0, unit.row - region.rows.start, unit.column - region.columns.start)
            for units, region, array in zip(missing, regions, written, strict=True)
            for unit in units
        }
        merged = HighLevelGraph.merge(*(array.__dask_graph__() for array in written))
        return keys, dict(Array.__dask_optimize__(merged, list(keys.values())))

    def _written(self, region: Region) -> da.Array:
        """An array of nothing, whose blocks write the units of a region when they are computed."""
        level, box = region.grid.level, region.grid.box(region.rows, region.columns)
        given = self._levels[level]
        assert given is not None  # noqa: S101
        stored = given[box.slices].transpose(2, 0, 1)
        # Never through the shuffle of dask.distributed: it begins with all blocks and ends with the first.
        units = stored.rechunk((stored.shape[0], *region.grid.side.as_tuple()), method="tasks")
        written: da.Array = units.map_blocks(
            _write_block,
            sink=self._sinks[level],
            region=region,
            dtype=np.uint8,
            chunks=(1, 1, 1),
            meta=np.empty((0, 0, 0), np.uint8),
        )
        return written

    def _mean(self, unit: Unit, keys: Mapping[Unit, Any]) -> tuple[Any, ...]:
        """A task for a unit of a level that is made of the finer one, after those for what lies below."""
        finer, box = self._grids[unit.level - 1], self._grids[unit.level].box_of(unit)
        below = list(finer.below(box))
        write = partial(_write_mean, self._arrays[unit.level - 1], self._sinks[unit.level], box, below)
        return write, [keys[one] for one in below if one in keys]


def _bounds(grid: UnitGrid, units: Collection[Unit]) -> Region:
    rows, columns = [unit.row for unit in units], [unit.column for unit in units]
    return Region(grid, range(min(rows), max(rows) + 1), range(min(columns), max(columns) + 1))


def _write_block(
    block: NDArray[np.uint8], *, sink: ChunkSink, region: Region, block_id: tuple[int, int, int]
) -> NDArray[np.uint8]:
    unit = Unit(region.grid.level, region.rows.start + block_id[1], region.columns.start + block_id[2])
    sink[_place(region.grid.box_of(unit), len(block))] = block
    return np.zeros((1, 1, 1), np.uint8)


def _write_mean(
    finer: zarr.Array[Any], sink: ChunkSink, box: Box, below: Sequence[Unit], after: Sequence[object]
) -> None:
    """Write the means of 2 x 2 pixels of the units `below`, once the tasks `after` are done."""
    for unit in below:
        # Zarr would take a file that is not there for black pixels.
        if not unit_file(finer, unit).is_file():
            raise OutputError(
                f"'{unit_file(finer, unit)}' has been written but is not there; is something removing files, or do the "
                f"workers not share a file system?"
            )
    pixels: Any = finer[:, 2 * box.y0 : 2 * box.y1, 2 * box.x0 : 2 * box.x1]
    sink[_place(box, len(pixels))] = halve(pixels)


def _place(box: Box, channels: int) -> tuple[slice, slice, slice]:
    return (slice(0, channels), *box.slices)
