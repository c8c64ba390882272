"""Decoded tiles of views, so that many point sets are drawn from one decoding."""

from __future__ import annotations

import hashlib
import logging
import weakref
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.points.tile_store import TileStore
from infbrush_wsi.sources.view import ResampledView
from infbrush_wsi.writers.scratch import scratch_folder

DEFAULT_LIMIT = 8 * 2**30
MAPPED_TILES = 128
"""Tiles that a process keeps mapped, to be found again without opening a file; a window of 4096² has 64 to 81."""
log = logging.getLogger(__name__)


class PixelCache:
    """Tiles of resampled views, decoded once and memory-mapped by all loader workers.

    Args:
        directory: where the tiles are kept and found again by a later run; None takes a temporary directory that
            is removed when the process that made the cache ends (see `writers.scratch`).
        limit_bytes: size of the directory, kept by deleting the least recently used tiles.
        tile: side of a tile in pixels of the view.
        apron: pixels of the neighbourhood on each side of a tile: real pixels, mirrored (half-sample symmetric)
            only at the true edge of the image.

    Raises:
        ConfigError: if a size is not positive.
        OutputError: if the directory cannot be made.
    """

    def __init__(
        self,
        directory: Path | None = None,
        limit_bytes: int = DEFAULT_LIMIT,
        tile: int = 512,
        apron: int = 4,
    ) -> None:
        if tile <= 0 or apron < 0:
            raise ConfigError(f"the cache needs tile > 0 and apron >= 0, not {tile} and {apron}")
        self.tile_side = tile
        self.apron = apron
        self._mapped: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()
        self._names: weakref.WeakKeyDictionary[ResampledView, str] = weakref.WeakKeyDictionary()
        self._warned = False
        made = scratch_folder(self, "infbrush-pixels-") if directory is None else Path(directory)
        self._store = TileStore(made, limit_bytes)

    @property
    def directory(self) -> Path:
        """Where the tiles are."""
        return self._store.directory

    @property
    def limit_bytes(self) -> int:
        """Size limit of the directory."""
        return self._store.limit_bytes

    def tile(self, view: ResampledView, ty: int, tx: int) -> NDArray[np.uint8]:
        """One tile of a view with its apron, decoded on first use.

        Args:
            view: the source at some pixel size.
            ty: row of the tile, from 0.
            tx: column of the tile, from 0.

        Returns:
            Read-only uint8 (h + 2 apron, w + 2 apron, C), where h, w are the tile's sides: `tile`, or less at the
            right and bottom edge. Pixel [apron, apron] is the view's pixel (row ty * tile, column tx * tile).

        Raises:
            RegionError: if the view has no such tile.
            ConfigError: if a tile alone is larger than the limit.
            CorruptSourceError: if the source is damaged there.
        """
        self._require(view, ty, tx)
        name = f"{self._name(view)}/{ty}_{tx}"
        found = self._mapped.get(name)
        if found is None:
            found = self._store.load(name)
        if found is None:
            with self._store.lock(name):
                # Whoever held the lock before has probably made it.
                found = self._store.load(name)
                if found is None:
                    found = self._decode(view, self.box(view, ty, tx), name)
        self._remember(name, found)
        return found

    def box(self, view: ResampledView, ty: int, tx: int) -> Box:
        """The pixels of the view that belong to a tile, without its apron.

        Raises:
            RegionError: if the view has no such tile.
        """
        self._require(view, ty, tx)
        side = self.tile_side
        return Box(tx * side, ty * side, side, side).clip(view.shape)

    def grid(self, view: ResampledView) -> tuple[int, int]:
        """(rows, columns) of tiles of a view."""
        return -(-view.shape.h // self.tile_side), -(-view.shape.w // self.tile_side)

    def _require(self, view: ResampledView, ty: int, tx: int) -> None:
        rows, columns = self.grid(view)
        if not (0 <= ty < rows and 0 <= tx < columns):
            raise RegionError(f"there is no tile ({ty}, {tx}): the view has {rows} rows and {columns} columns of tiles")

    def _decode(self, view: ResampledView, box: Box, name: str) -> NDArray[np.uint8]:
        pixels = view.read(box.pad(self.apron), fill="reflect")
        try:
            self._store.save(name, pixels)
        except OSError as error:
            # Training goes on without the cache, only slower.
            if not self._warned:
                log.warning("tiles cannot be cached in %s, so they are decoded again: %s", self.directory, error)
                self._warned = True
        stored = self._store.load(name)
        if stored is None:
            pixels.flags.writeable = False
            return pixels
        return stored

    def _remember(self, name: str, tile: NDArray[np.uint8]) -> None:
        # Each step is atomic in CPython; a lock here would not survive a fork of the loader.
        self._mapped[name] = tile
        with suppress(KeyError):
            self._mapped.move_to_end(name)
            while len(self._mapped) > MAPPED_TILES:
                self._mapped.popitem(last=False)

    def _name(self, view: ResampledView) -> str:
        known = self._names.get(view)
        if known is None:
            source, level0 = view.source, view.source.lattice
            changed = None
            with suppress(OSError):
                # The fingerprint only samples the content; an edited file has at least another date.
                changed = Path(source.path).stat().st_mtime_ns
            parts: tuple[object, ...] = (source.fingerprint, changed, tuple(level0.transform), level0.unit)
            parts += (view.spacing, tuple(view.lattice.transform), view.shape, self.tile_side, self.apron)
            known = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
            self._names[view] = known
        return known

    def __getstate__(self) -> dict[str, Any]:
        """Travels to a worker as its directory and sizes; the maker stays the owner."""
        return {"arguments": (self.directory, self.limit_bytes, self.tile_side, self.apron)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the same directory."""
        self.__init__(*state["arguments"])  # type: ignore[misc]
