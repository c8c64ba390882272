"""Embeds one image into its group of a store: block by block, so that a stopped run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.conditioning.encoders.protocol import Encoder
from infbrush_wsi.conditioning.encoders.settings import StoredSlide, StoreSettings
from infbrush_wsi.conditioning.encoders.tiling import BLOCK, Tiling
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import ConditionError, DatasetError

if TYPE_CHECKING:
    from infbrush_wsi.sources.base import Source
    from infbrush_wsi.sources.view import ResampledView

COMPLETE, SLIDE = "complete", "slide"
EMBEDDINGS, TISSUE, DONE = "embeddings", "tissue", "done"
SMALLEST_MASK, LARGEST_MASK = 1024, 4096
"""Longer side in pixels of the overview in which tissue is looked for."""


@dataclass(frozen=True)
class SlideWriter:
    """What is needed to embed one image.

    Attributes:
        source: the image.
        view: the image at the store's pixel size.
        tiling: its tiles.
        slide: its record; `embedded` is not known yet.
        settings: of the store.
    """

    source: Source
    view: ResampledView
    tiling: Tiling
    slide: StoredSlide
    settings: StoreSettings

    def finished(self, parent: Any) -> int:
        """Cells that earlier runs have done.

        Args:
            parent: group of all images.
        """
        key = self.slide.key
        if key not in parent or COMPLETE not in parent[key].attrs:
            return 0
        if parent[key].attrs[COMPLETE]:
            return self.tiling.grid.count
        done = parent[key][DONE][...]
        blocks = [block for block in self.tiling.blocks() if done[block.y0 // BLOCK, block.x0 // BLOCK]]
        return sum(block.shape.count for block in blocks)

    def write(self, parent: Any, encoder: Encoder, batch: int, advance: Callable[[int], None]) -> None:
        """Embed what is not stored yet, and mark the image complete.

        Args:
            parent: group of all images.
            encoder: the store's.
            batch: tiles embedded at a time.
            advance: called with the number of cells that have been done.

        Raises:
            DatasetError: if no tile has enough tissue.
            CorruptSourceError: if the image is damaged.
            ConditionError: if the encoder's embeddings cannot be stored.
        """
        group = self._group(parent)
        shares: NDArray[np.float32] = group[TISSUE][...]
        present = shares >= self.settings.min_tissue
        done: NDArray[np.uint8] = group[DONE][...]
        for block in self.tiling.blocks():
            row, column = block.y0 // BLOCK, block.x0 // BLOCK
            if not done[row, column]:
                group[EMBEDDINGS][block.slices] = self._block(block, present[block.slices], encoder, batch)
                # After the embeddings: a block that is marked is on disk.
                group[DONE][row, column] = done[row, column] = 1
                advance(block.shape.count)
        slide = replace(self.slide, embedded=int(present.sum()))
        group.attrs.update({SLIDE: slide.to_dict(), COMPLETE: True})

    def _group(self, parent: Any) -> Any:
        """The group of the image with its arrays, made anew unless an earlier run has finished making it."""
        key = self.slide.key
        if key in parent and COMPLETE in parent[key].attrs:
            return parent[key]
        shares = self._shares()
        if not (shares >= self.settings.min_tissue).any():
            raise DatasetError(
                f"no tile of {self.source.path} has {self.settings.min_tissue:.0%} of tissue; the most is "
                f"{shares.max():.1%}"
            )
        group = parent.create_group(key, overwrite=True)
        grid, dimension = self.tiling.grid, self.settings.encoder.dimension
        _array(group, EMBEDDINGS, (*grid.as_tuple(), dimension), (BLOCK, BLOCK, dimension), self.settings.dtype)
        blocks = Shape(-(-grid.h // BLOCK), -(-grid.w // BLOCK)).as_tuple()
        _array(group, DONE, blocks, blocks, "uint8")
        _array(group, TISSUE, shares.shape, shares.shape, "float32")
        group[TISSUE][...] = shares
        group.attrs.update({SLIDE: self.slide.to_dict(), COMPLETE: False})
        return group

    def _shares(self) -> NDArray[np.float32]:
        grid = self.tiling.grid
        side = min(max(2 * max(grid.h, grid.w), SMALLEST_MASK), LARGEST_MASK)
        return self.tiling.shares(self.source.mask(side)[0])

    def _block(self, block: Box, present: NDArray[np.bool_], encoder: Encoder, batch: int) -> NDArray[np.floating[Any]]:
        """Embeddings of a block of cells (h, w, D); not a number where there is no tissue."""
        out = np.full((*block.shape.as_tuple(), self.settings.encoder.dimension), np.nan, np.float32)
        cells = np.argwhere(present)
        for first in range(0, len(cells), batch):
            some = cells[first : first + batch]
            boxes = [self.tiling.box(block.y0 + int(row), block.x0 + int(column)) for row, column in some]
            found = encoder(np.stack([self.view.read(box, fill="reflect") for box in boxes]))
            self._check(found, len(some))
            out[some[:, 0], some[:, 1]] = found
        return out.astype(self.settings.dtype)

    def _check(self, found: NDArray[np.float32], count: int) -> None:
        wanted = (count, self.settings.encoder.dimension)
        if found.shape != wanted or not np.isfinite(found).all():
            raise ConditionError(
                f"the encoder {self.settings.encoder.name!r} made an array of shape {found.shape} of {count} tiles; it "
                f"must be finite numbers {wanted}"
            )
        if np.abs(found).max() > np.finfo(self.settings.dtype).max:
            raise ConditionError(
                f"embeddings of the encoder {self.settings.encoder.name!r} are too large for {self.settings.dtype}; "
                "store them as float32"
            )


def _array(group: Any, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str) -> None:
    axes = ("row", "column", "feature")[: len(shape)]
    group.create_array(
        name,
        shape=shape,
        chunks=tuple(min(size, side) for size, side in zip(chunks, shape, strict=True)),
        dtype=dtype,
        fill_value=0 if dtype == "uint8" else float("nan"),
        dimension_names=axes,
        # A chunk that is not on disk is then one that was not written.
        config={"write_empty_chunks": True},
    )
