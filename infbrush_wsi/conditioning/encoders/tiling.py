"""The tiles of an image that are embedded: one a cell of a grid that begins in its top left corner."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box, Shape, tiles
from infbrush_wsi.errors import ConditionError, ConfigError

BLOCK = 16
"""Side in cells of what is computed, stored and taken up again at a time."""
MAX_CELLS = 1 << 26


@dataclass(frozen=True)
class Tiling:
    """Cells of `stride` pixels that cover an image; the tile of a cell lies over its middle.

    Attributes:
        image: rows and columns of the image in pixels of the size at which it is embedded.
        tile: side of a tile in pixels; beyond the image it is mirrored.
        stride: side of a cell in pixels.

    Raises:
        ConfigError: if a side is not positive.
        ConditionError: if there would be too many cells.
    """

    image: Shape
    tile: int
    stride: int

    def __post_init__(self) -> None:
        """Refuse what cannot be embedded."""
        if self.tile < 1 or self.stride < 1:
            raise ConfigError(f"tile and stride must be at least 1 pixel, not {self.tile} and {self.stride}")
        if self.grid.count > MAX_CELLS:
            raise ConditionError(
                f"an image of {self.image.w} x {self.image.h} pixels has {self.grid.count} cells of {self.stride} "
                "pixels, too many; give a larger stride"
            )

    @property
    def grid(self) -> Shape:
        """Rows and columns of cells; those at the right and bottom may reach beyond the image."""
        return Shape(math.ceil(self.image.h / self.stride), math.ceil(self.image.w / self.stride))

    def blocks(self) -> Iterator[Box]:
        """The grid in parts, in cells."""
        return tiles(self.grid, BLOCK)

    def box(self, row: int, column: int) -> Box:
        """The tile of a cell, in pixels."""
        shift = (self.stride - self.tile) // 2
        return Box(column * self.stride + shift, row * self.stride + shift, self.tile, self.tile)

    def shares(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Share of each tile, as far as it lies in the image, that is set in a coarse mask of the image.

        Args:
            mask: bool (h, w) over the whole image.

        Returns:
            float32 (rows, columns); each tile has at least one pixel of the mask.
        """
        sums = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        y0, y1 = self._under(self.grid.h, self.image.h, mask.shape[0])
        x0, x1 = self._under(self.grid.w, self.image.w, mask.shape[1])
        count = sums[np.ix_(y1, x1)] - sums[np.ix_(y0, x1)] - sums[np.ix_(y1, x0)] + sums[np.ix_(y0, x0)]
        shares: NDArray[np.float32] = (count / np.outer(y1 - y0, x1 - x0)).astype(np.float32)
        return shares

    def _under(self, cells: int, pixels: int, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First mask pixel under each tile along one axis, and the one after the last."""
        start = np.arange(cells) * self.stride + (self.stride - self.tile) // 2
        # Where the stride is larger than the tile, the last tile may lie wholly beyond the image.
        low = np.clip(start, 0, pixels - 1) * side // pixels
        high = -(-np.clip(start + self.tile, 1, pixels) * side // pixels)
        return low, np.maximum(high, low + 1)
