"""One view of canvases, stores and slides: the levels of a pyramid as lazy arrays. Every host is served from it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import MICROMETERS_PER_UNIT, Lattice
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.sources.base import Source
from infbrush_wsi.sources.registry import open_source

if TYPE_CHECKING:
    import dask.array as da

    from infbrush_wsi.canvas import Canvas

CHUNK = 1024
"""Preferred side of what is read of a source at once: whole chunks of stores and slides."""


class Pixels(Protocol):
    """A level as an array-like: uint8 (h, w, C), read or computed when it is indexed."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, C)."""
        ...

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        ...

    @property
    def chunks(self) -> tuple[int, int, int]:
        """Preferred chunk shape."""
        ...

    def __getitem__(self, key: Any) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class SourceLevel:
    """One level of a source that takes numpy's indices; it pickles without open files.

    Attributes:
        source: where the pixels come from.
        level: of its pyramid.
    """

    source: Source
    level: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, C)."""
        return (*self.source.level_shapes[self.level], self.source.channels)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        """3."""
        return 3

    @property
    def chunks(self) -> tuple[int, int, int]:
        """Preferred chunk shape."""
        return min(CHUNK, self.shape[0]), min(CHUNK, self.shape[1]), self.shape[2]

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        from infbrush_wsi.canvas.indexing import window_of

        box, local = window_of(key, self.shape)
        if box.empty:
            return np.asarray(np.empty((box.h, box.w, self.shape[2]), np.uint8)[local])
        return np.ascontiguousarray(self.source.read_box(box, self.level)[local])


@dataclass(frozen=True)
class Pyramid:
    """An image by levels, finest first.

    Attributes:
        name: for titles.
        lattices: of the levels.
        downsamples: width of a level's pixels in level-0 pixels.
        pixels: of the levels.
        channel_names: bands.
        provenance: what made the pixels, as far as it is known; plain JSON.
        objective_power: of the scanner, if the file says it.
        path: of the file; None for a canvas.
    """

    name: str
    lattices: tuple[Lattice, ...]
    downsamples: tuple[float, ...]
    pixels: tuple[Pixels, ...]
    channel_names: tuple[str, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    objective_power: float | None = None
    path: str | None = None

    @property
    def level_count(self) -> int:
        """Number of levels."""
        return len(self.lattices)

    @property
    def mpp(self) -> tuple[float, float] | None:
        """Micrometres per level-0 pixel along x and y; None if unknown."""
        factor = MICROMETERS_PER_UNIT.get(self.lattices[0].unit)
        spacing = self.lattices[0].spacing
        return None if factor is None else (factor * spacing.x, factor * spacing.y)

    def check_level(self, level: int) -> int:
        """`level`, if there is one of that number.

        Raises:
            RegionError: if there is none.
        """
        if not 0 <= level < self.level_count:
            raise RegionError(f"{self.name} has levels 0 to {self.level_count - 1}, not {level!r}")
        return level

    def to_dask(self, level: int) -> da.Array:
        """A level as a dask array (h, w, C) of uint8; nothing is computed until it is.

        Raises:
            RegionError: if the level does not exist.
        """
        import dask.array as da

        pixels = self.pixels[self.check_level(level)]
        meta = np.empty((0, 0, 0), np.uint8)
        array: da.Array = da.from_array(pixels, chunks=pixels.chunks, asarray=True, fancy=False, meta=meta)
        return array


def pyramid_of(image: Canvas | Source | str | os.PathLike[str], **options: Any) -> Pyramid:
    """The levels of an image.

    Args:
        image: a canvas, an opened source, or the path of anything that `open_source` opens.
        options: of `open_source`, for a path.

    Raises:
        SourceError: one of its kinds, if a path cannot be opened.
        ConfigError: if `image` is none of these, or options are given beside an image that is open already.
    """
    if isinstance(image, str | os.PathLike):
        return _of_source(open_source(os.fspath(image), **options))
    if options:
        raise ConfigError(f"{', '.join(options)}: only a path takes options; this image is open already")
    if isinstance(image, Source):
        return _of_source(image)
    from infbrush_wsi.canvas import Canvas

    if isinstance(image, Canvas):
        return _of_canvas(image)
    raise ConfigError(f"an image is a canvas, a source or a path, not {type(image).__name__}")


def _of_source(source: Source) -> Pyramid:
    power = source.metadata.get("objective_power")
    return Pyramid(
        name=str(source.metadata.get("name") or Path(source.path).name),
        lattices=tuple(level.lattice for level in source.levels),
        downsamples=tuple(level.downsample for level in source.levels),
        pixels=tuple(SourceLevel(source, level) for level in range(source.level_count)),
        channel_names=source.channel_names,
        provenance=source.metadata.get("provenance") or {},
        objective_power=None if power is None else float(power),
        path=source.path,
    )


def _of_canvas(canvas: Canvas) -> Pyramid:
    levels = range(canvas.level_count)
    provenance = canvas.provenance
    return Pyramid(
        name=f"synthetic {provenance['condition'] or 'image'}, seed {canvas.spec.seed}",
        lattices=tuple(canvas.lattice.downsampled(2**level) if level else canvas.lattice for level in levels),
        downsamples=tuple(float(2**level) for level in levels),
        pixels=tuple(canvas.level_array(level) for level in levels),
        channel_names=canvas.channel_names,
        provenance=provenance,
    )
