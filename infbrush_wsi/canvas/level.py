"""One level of a canvas, read in windows that are put together from canonical tiles."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi._process import return_freed_memory
from infbrush_wsi.canvas.picture import to_grey
from infbrush_wsi.canvas.shared_cache import SharedCache
from infbrush_wsi.canvas.state import read_mirrored
from infbrush_wsi.canvas.tile import Lens
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import OutputError
from infbrush_wsi.fields._threads import default_threads, run_parts
from infbrush_wsi.fields.wiener import WienerInverse

TileIndex = tuple[int, int]
Tile = NDArray[np.generic]
WIENER_REACH = 16.0
"""Halo of the Wiener inverse in standard deviations of the mollifier: changes less than 0.1 grey levels."""


@dataclass(frozen=True)
class TileLattice:
    """A lattice of tiles, whose values are read in any window.

    Attributes:
        shape: rows and columns of pixels.
        side: of a tile.
        channels: bands.
        fetch: gives tile (row, column); safe to call from several threads.
    """

    shape: Shape
    side: int
    channels: int
    fetch: Callable[[TileIndex], Tile]

    def box(self, tile: TileIndex) -> Box:
        """The pixels of a tile."""
        return Box(tile[1] * self.side, tile[0] * self.side, self.side, self.side).clip(self.shape)

    def under(self, box: Box) -> list[TileIndex]:
        """Tiles that a window inside the image touches."""
        rows = range(box.y0 // self.side, -(-box.y1 // self.side))
        columns = range(box.x0 // self.side, -(-box.x1 // self.side))
        return [(i, j) for i in rows for j in columns]

    def read(self, box: Box) -> NDArray[np.generic]:
        """A window inside the image, (h, w, C)."""
        out: NDArray[np.generic] | None = None
        for tile in self.under(box):
            values, at = self.fetch(tile), self.box(tile)
            if out is None:
                out = np.empty((box.h, box.w, self.channels), values.dtype)
            common = at.intersect(box)
            out[common.relative_to(box).slices] = values[common.relative_to(at).slices]
        assert out is not None  # noqa: S101
        return out


@dataclass(frozen=True)
class TiledLevel:
    """A level that is put together from canonical tiles.

    Attributes:
        name: of the level in the cache.
        lens: stage and resolution.
        tile: side of the canonical tiles.
        cache: of tiles.
    """

    name: str
    lens: Lens
    tile: int
    cache: SharedCache[Tile]

    @property
    def shape(self) -> Shape:
        """Rows and columns."""
        return self.lens.image

    def _lattice(self, fetch: Callable[[TileIndex], Tile]) -> TileLattice:
        return TileLattice(self.shape, self.tile, self.lens.generator.channels, fetch)


@dataclass(frozen=True)
class Level(TiledLevel):
    """A level computed directly from its stage."""

    @property
    def evaluated(self) -> int:
        """Pixels or points that the network is evaluated at for the whole level."""
        return self.shape.count

    @cached_property
    def clean(self) -> TileLattice:
        """T x_0, float32."""
        return self._lattice(self._clean_tile)

    @cached_property
    def inverse(self) -> WienerInverse:
        """Undoes the mollifier at this resolution."""
        sigma = self.lens.generator.sigma * self.lens.ratio
        return WienerInverse(sigma_px=sigma, halo=max(8, math.ceil(WIENER_REACH * sigma)))

    def read(self, box: Box) -> NDArray[np.uint8]:
        """A window inside the image; its tiles are computed side by side."""
        wide = box.pad(self.inverse.reach)
        self._compute(wide.clip(self.shape))
        return to_grey(self.inverse.apply_in_order(read_mirrored(self.clean, wide)))

    def read_clean(self, box: Box) -> NDArray[np.float32]:
        """T x_0 in a window inside the image."""
        self._compute(box)
        return np.asarray(self.clean.read(box), np.float32)

    def _compute(self, box: Box) -> None:
        """The tiles under a window side by side: threads begin apart, so that they seldom need the same frame."""
        tiles = self.clean.under(box)
        self.lens.prepare([self.clean.box(tile) for tile in tiles if self._key(tile) not in self.cache])
        stride = -(-len(tiles) // default_threads())
        run_parts(self.clean.fetch, [tile for i in range(stride) for tile in tiles[i::stride]], None)
        return_freed_memory()

    def _clean_tile(self, tile: TileIndex) -> Tile:
        return self.cache.get(self._key(tile), lambda: self.lens.clean(self.clean.box(tile)))

    def _key(self, tile: TileIndex) -> str:
        return f"{self.name}/clean/{tile[0]}/{tile[1]}"


def dump_tile(tile: Tile) -> bytes:
    """Tile → bytes."""
    buffer = io.BytesIO()
    np.save(buffer, tile, allow_pickle=False)
    return buffer.getvalue()


def load_tile(data: bytes | bytearray | memoryview) -> Tile:
    """Bytes → tile.

    Raises:
        OutputError: if they are damaged.
    """
    try:
        return np.asarray(np.load(io.BytesIO(bytes(data)), allow_pickle=False))
    except Exception as error:
        # NumPy meets damaged headers with many kinds of errors, of the tokenizer too.
        raise OutputError(f"a stored tile is damaged ({error}); remove the folder of computed tiles") from error
