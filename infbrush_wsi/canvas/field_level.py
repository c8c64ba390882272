"""A level of a canvas that is rendered from a feature map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.canvas.level import Tile, TileIndex, TileLattice
from infbrush_wsi.canvas.shared_cache import SharedCache
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.fields._threads import default_threads, run_parts

RenderTile = Callable[[Box, float], NDArray[np.uint8]]
"""From a window of a level and the side of its pixels in features to its colours, uint8 (h, w, C)."""


@dataclass(frozen=True)
class FieldLevel:
    """A level whose tiles are rendered at its own pixel size.

    Attributes:
        name: of the level in the cache.
        shape: rows and columns.
        cell: side of a pixel in features.
        side: of the canonical tiles in pixels.
        channels: bands.
        render: makes a tile.
        cache: of tiles.
    """

    name: str
    shape: Shape
    cell: float
    side: int
    channels: int
    render: RenderTile
    cache: SharedCache[Tile]

    @property
    def evaluated(self) -> int:
        """Pixels that the renderer is evaluated at for the whole level."""
        return self.shape.count

    @cached_property
    def tiles(self) -> TileLattice:
        """Its pixels, uint8."""
        return TileLattice(self.shape, self.side, self.channels, self._tile)

    def read(self, box: Box) -> NDArray[np.uint8]:
        """A window inside the image; its tiles are rendered side by side, as many at a time as there are threads."""
        run_parts(self.tiles.fetch, self.tiles.under(box), default_threads())
        return np.asarray(self.tiles.read(box), np.uint8)

    def _tile(self, tile: TileIndex) -> Tile:
        key = f"{self.name}/{tile[0]}/{tile[1]}"
        return self.cache.get(key, lambda: self.render(self.tiles.box(tile), self.cell))
