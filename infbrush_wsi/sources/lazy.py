"""A part of a source, at one of its levels or another pixel size, as a lazy array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box, Lattice
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.sources.base import Source

if TYPE_CHECKING:
    import dask.array as da

CHUNK = 1024


@dataclass(frozen=True)
class LazyRegion:
    """Pixels of a window of a source that are read when they are touched.

    Attributes:
        source: where they come from.
        lattice: pixel grid of the window.
        box: the window, in pixels of the level or view.
        level: of the source, if it is read as it is.
        mpp: pixel size in micrometres, if it is resampled.
    """

    source: Source
    lattice: Lattice
    box: Box
    level: int = 0
    mpp: float | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, C)."""
        return (*self.lattice.shape.as_tuple(), self.source.channels)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        """3."""
        return 3

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        rows, columns = (range(*part.indices(side)) for part, side in zip(key[:2], self.shape[:2], strict=True))
        box = Box(self.box.x0 + columns.start, self.box.y0 + rows.start, len(columns), len(rows))
        if box.empty:
            return np.empty((len(rows), len(columns), self.source.channels), np.uint8)
        pixels = self.source.read_box(box, self.level) if self.mpp is None else self.source.at_mpp(self.mpp).read(box)
        return pixels[(slice(None), slice(None), *key[2:])]

    def to_dask(self) -> da.Array:
        """As a dask array (h, w, C)."""
        import dask.array as da

        chunks = (min(CHUNK, self.shape[0]), min(CHUNK, self.shape[1]), self.shape[2])
        array: da.Array = da.from_array(
            self, chunks=chunks, asarray=True, fancy=False, meta=np.empty((0, 0, 0), np.uint8)
        )
        return array


def lazy_region(
    source: Source, *, level: int = 0, mpp: float | None = None, region: tuple[int, int, int, int] | None = None
) -> LazyRegion:
    """A source, or a part of it, as a lazy array.

    Args:
        source: opened.
        level: of its pyramid.
        mpp: pixel size in micrometres instead of a level.
        region: (x, y, w, h) in *level-0* pixels, whatever the level or pixel size; None: all.

    Raises:
        RegionError: if the level does not exist, or the region is empty or reaches outside.
        MissingMppError: if `mpp` is given and the source's pixel size is unknown.
        ConfigError: if both level and mpp are given.
    """
    if mpp is not None and level:
        raise ConfigError("give a level or an mpp, not both")
    if not 0 <= level < source.level_count:
        raise RegionError(f"{source.path} has no level {level}: its levels are 0 to {source.level_count - 1}")
    lattice = source.levels[level].lattice if mpp is None else source.at_mpp(mpp).lattice
    box = _box(source, lattice, region)
    return LazyRegion(source, lattice.window(box), box, level, mpp)


def _box(source: Source, lattice: Lattice, region: tuple[int, int, int, int] | None) -> Box:
    """The region in pixels of `lattice`: at least one, inside."""
    whole = Box(0, 0, lattice.shape.w, lattice.shape.h)
    if region is None:
        return whole
    asked = Box(*region)
    if asked.empty or asked.clip(source.lattice.shape) != asked:
        h, w = source.level_shapes[0]
        raise RegionError(f"the region {region} (x, y, w, h) is not inside the image of {w} x {h} level-0 pixels")
    to_pixels = ~lattice.transform @ source.lattice.transform
    x0, y0 = (round(value) for value in to_pixels @ (asked.x0, asked.y0))
    x1, y1 = (round(value) for value in to_pixels @ (asked.x1, asked.y1))
    x0, y0 = min(x0, whole.w - 1), min(y0, whole.h - 1)
    return Box(x0, y0, max(1, x1 - x0), max(1, y1 - y0)).intersect(whole)
