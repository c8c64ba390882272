"""A pyramid as streams of tiles: what is read once is halved on the way and kept in a scratch file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Shape
from infbrush_wsi.writers.pyramid import halve

if TYPE_CHECKING:
    import dask.array as da

Pixels = NDArray[np.uint8]


class TileStream:
    """Levels of a pyramid, each to be read once, from the finest on. Memory holds one row of tiles.

    Args:
        level0: lazy array (h, w, c), uint8.
        tile: side of a tile, even.
        scratch: folder for the coarser levels, a third of the image in all.
        progress: called with (tiles read, tiles in all).
        smallest: longer side, at most, of the coarsest level; None: a tile.
    """

    def __init__(
        self,
        level0: da.Array,
        tile: int,
        scratch: Path,
        progress: Callable[[int, int], None] | None = None,
        *,
        smallest: int | None = None,
    ) -> None:
        h, w, self.channels = level0.shape
        self.tile, self._level0, self._scratch, self._progress = tile, level0, scratch, progress
        self.shapes = [Shape(h, w)]
        while max(self.shapes[-1].as_tuple()) > (smallest or tile):
            self.shapes.append(Shape(-(-self.shapes[-1].h // 2), -(-self.shapes[-1].w // 2)))
        self._done = 0
        self._total = sum(math.prod(self.counts(level)) for level in range(len(self.shapes)))

    def tiles(self, level: int) -> Iterator[Pixels]:
        """All tiles (tile, tile, c) of a level in row-major order; those at the edges repeat their last pixels."""
        for band in self.bands(level):
            for column in range(self.counts(level)[1]):
                part = band[:, column * self.tile : (column + 1) * self.tile]
                margin = ((0, self.tile - part.shape[0]), (0, self.tile - part.shape[1]), (0, 0))
                self.count_one()  # before it is given: nobody may come back after the last one
                yield np.pad(part, margin, mode="edge")

    def bands(self, level: int) -> Iterator[Pixels]:
        """All rows of tiles of a level, (h, w, c) with h pixels of a tile's side or, at the bottom, what is left."""
        shape = self.shapes[level]
        coarser = self._file(level + 1, "w+") if level + 1 < len(self.shapes) else None
        for y0 in range(0, shape.h, self.tile):
            band = self._band(level, y0, min(y0 + self.tile, shape.h))
            if coarser is not None:
                half = halve(band.transpose(2, 0, 1)).transpose(1, 2, 0)
                coarser[y0 // 2 : y0 // 2 + len(half)] = half
            yield band

    def counts(self, level: int) -> tuple[int, int]:
        """Rows and columns of tiles of a level."""
        return -(-self.shapes[level].h // self.tile), -(-self.shapes[level].w // self.tile)

    def count_one(self) -> None:
        """Tell of one more tile."""
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _band(self, level: int, start: int, stop: int) -> Pixels:
        if level:
            return np.array(self._file(level, "r")[start:stop])
        return np.asarray(self._level0[start:stop].compute())

    def _file(self, level: int, mode: str) -> np.memmap[tuple[int, int, int], np.dtype[np.uint8]]:
        shape = (*self.shapes[level].as_tuple(), self.channels)
        return np.memmap(self._scratch / f"level-{level}.raw", np.uint8, mode, shape=shape)  # type: ignore[call-overload,no-any-return]
