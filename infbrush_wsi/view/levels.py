"""The levels that a page shows: those of the image, and block means where their steps are too wide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infbrush_wsi.domain import Box, Shape

WIDEST_STEP = 3.0
"""Between two levels of an image; where it is wider, a browser would fetch many times the pixels that it shows."""
MOST_READ = 2**26
"""Pixels of the image that one tile may cost to read."""


@dataclass(frozen=True, slots=True)
class ShownLevel:
    """One resolution on the page.

    Attributes:
        index: level of the image that it is read from.
        block: side in that level's pixels of the blocks whose means are its pixels; 1: it is that level.
        shape: rows and columns.
        downsample: width of its pixels in level-0 pixels.
    """

    index: int
    block: int
    shape: Shape
    downsample: float

    def box(self, column: int, row: int, side: int, overlap: int = 0) -> Box:
        """Pixels of a tile, clipped to the level; empty if there is no such tile.

        Args:
            column: of the tile.
            row: of the tile.
            side: of the tiles.
            overlap: pixels that it shares with each of its neighbours.
        """
        own = Box(column * side, row * side, side, side).clip(self.shape)
        return own if own.empty else own.pad(overlap).clip(self.shape)

    def footprint(self, box: Box, whole: Shape) -> Box:
        """What is read for a box: pixels of level `index`, whose shape is `whole`."""
        block = self.block
        return Box(box.x0 * block, box.y0 * block, box.w * block, box.h * block).clip(whole)


def shown_levels(shapes: Sequence[Shape], downsamples: Sequence[float], tile: int) -> tuple[ShownLevel, ...]:
    """Choose the levels of a page, finest first: steps of at most `WIDEST_STEP` down to a single tile.

    Means stop where a tile would read more than `MOST_READ` pixels.

    Args:
        shapes: of the image's levels, finest first.
        downsamples: width of their pixels in level-0 pixels.
        tile: side of the tiles in pixels.
    """
    levels: list[ShownLevel] = []
    for index, (shape, downsample) in enumerate(zip(shapes, downsamples, strict=True)):
        coarser = downsamples[index + 1] if index + 1 < len(downsamples) else None
        block = 1
        while True:
            level = ShownLevel(index, block, _means(shape, block), downsample * block)
            levels.append(level)
            enough = _fits(level, tile) if coarser is None else coarser / level.downsample <= WIDEST_STEP
            block *= 2
            if enough or _read(shape, tile * block) > MOST_READ:
                break
    return tuple(levels)


def _read(shape: Shape, side: int) -> int:
    """Pixels of the largest square of `side` that an image holds."""
    return min(shape.w, side) * min(shape.h, side)


def _means(shape: Shape, block: int) -> Shape:
    return Shape(-(-shape.h // block), -(-shape.w // block))


def _fits(level: ShownLevel, tile: int) -> bool:
    return max(level.shape.as_tuple()) <= tile
