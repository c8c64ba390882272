"""What every source of real pixels can do, whatever library reads it."""

from __future__ import annotations

import abc
import math
import operator
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import MICROMETERS_PER_UNIT, XY, Box, Lattice
from infbrush_wsi.errors import CorruptSourceError, MissingMppError, RegionError, SourceError
from infbrush_wsi.sources.edges import read_filled
from infbrush_wsi.sources.fingerprint import fingerprint
from infbrush_wsi.sources.guard import guarded
from infbrush_wsi.sources.level import Level
from infbrush_wsi.sources.options import OpenOptions
from infbrush_wsi.sources.plausible import MOST_PIXELS_A_BYTE, check_holds, check_levels, stored_bytes
from infbrush_wsi.sources.tissue import collar_mask, tissue_mask

if TYPE_CHECKING:
    from infbrush_wsi.sources.view import ResampledView

MaskKind = Literal["auto", "tissue", "valid"]
MAX_REGION_PIXELS = 2**30


class Source(abc.ABC):
    """A real image that is read by regions: a slide, a raster, a photograph.

    Sources hold no open file: they are cheap, pickle as plain data, and may be read from any thread or process.

    Attributes:
        path: file, directory or URL as given.
        channel_names: one name a channel.
        levels: the pyramid, finest first.
        background: colour outside the image, one value a channel.
        metadata: vendor, objective power, nodata, ...: what helps training, and no identifiers of persons.
        options: how it was opened.
    """

    name: ClassVar[str]
    extra: ClassVar[str | None] = None
    suffixes: ClassVar[tuple[str, ...]] = ()
    priority: ClassVar[int] = 50
    """Readers with lower numbers are asked first."""

    def __init__(
        self,
        path: str,
        *,
        channel_names: Sequence[str],
        levels: Sequence[Level],
        background: int,
        metadata: Mapping[str, Any],
        options: OpenOptions,
        mask_kind: Literal["tissue", "valid"],
    ) -> None:
        self.path = path
        self.channel_names = tuple(channel_names)
        self.levels = tuple(levels)
        self.background = (background,) * len(self.channel_names)
        self.metadata = dict(metadata)
        self.options = options
        self.mask_kind = mask_kind
        self._closed = False
        check_levels(self.levels, path)

    @classmethod
    @abc.abstractmethod
    def can_open(cls, path: str) -> bool:
        """Whether this reader should be tried on `path`; looks at a few bytes and never raises."""

    @classmethod
    @abc.abstractmethod
    def open(cls, path: str, options: OpenOptions) -> Source:
        """Open `path`.

        Raises:
            SourceError: one of its kinds, if the file cannot be used; `open_source` makes one of any other error.
        """

    @abc.abstractmethod
    def _read(self, box: Box, level: int) -> NDArray[np.uint8]:
        """Pixels of a non-empty box inside the level: uint8 (h, w, C)."""

    def _valid(self, lattice: Lattice, overview: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Validity on `lattice`, of which `overview` holds the pixels; readers that know a mask override it."""
        return collar_mask(overview)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.channel_names)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Always uint8."""
        return np.dtype(np.uint8)

    @property
    def lattice(self) -> Lattice:
        """Level 0 in physical space."""
        return self.levels[0].lattice

    @property
    def level_count(self) -> int:
        """Number of levels."""
        return len(self.levels)

    @property
    def level_shapes(self) -> tuple[tuple[int, int], ...]:
        """(h, w) of each level, in pixels."""
        return tuple(level.lattice.shape.as_tuple() for level in self.levels)

    @property
    def mpp(self) -> float | None:
        """Micrometres per level-0 pixel (geometric mean of both axes), None if the physical size is unknown."""
        return self.lattice.mpp

    @property
    def mpp_xy(self) -> XY | None:
        """Micrometres per level-0 pixel along x and y, None if unknown."""
        factor = MICROMETERS_PER_UNIT.get(self.lattice.unit)
        spacing = self.lattice.spacing
        return None if factor is None else XY(factor * spacing.x, factor * spacing.y)

    @cached_property
    def fingerprint(self) -> str:
        """Stable identifier of these pixels (content, bands and scale; not place or mpp): 32 hexadecimal digits."""
        with guarded(f"{self.path} cannot be read"):
            return fingerprint(self.path, self.options.bands, self.options.scale)

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Read a region in OpenSlide's frame.

        Args:
            location: (x, y) of the top left pixel in *level-0* pixels; the nearest pixel of `level` is taken.
            level: 0 is the finest.
            size: (w, h) in pixels of `level`.

        Returns:
            uint8 (h, w, C); pixels outside the image have the colour `background`.

        Raises:
            RegionError: if the level does not exist or the size is not positive.
            CorruptSourceError: if the file is damaged there.
        """
        factor = self._level(level).downsample
        x, y = (math.floor(_integer(v, "location") / factor + 0.5) for v in location)
        w, h = (_integer(v, "size") for v in size)
        return self.read_box(Box(x, y, w, h), level)

    def read_box(self, box: Box, level: int = 0) -> NDArray[np.uint8]:
        """Read a window of one level, in pixels of that level.

        Returns:
            uint8 (box.h, box.w, C); pixels outside the image have the colour `background`.

        Raises:
            RegionError: if the level does not exist, or the box is empty or beyond any memory.
            CorruptSourceError: if the file is damaged there.
        """
        shape = self._level(level).lattice.shape
        if box.empty:
            raise RegionError(f"a region needs a positive size, not {box.w} x {box.h}")
        if box.w * box.h > MAX_REGION_PIXELS:
            raise RegionError(f"a region of {box.w} x {box.h} pixels will not fit in memory; read it in parts")
        if self._closed:
            raise SourceError(f"{self.path} has been closed; open it again")
        return read_filled(lambda inside: self._read_whole(inside, level), box, shape, self.background)

    def _read_whole(self, box: Box, level: int) -> NDArray[np.uint8]:
        """What `_read` gives, if that is the whole box; the libraries below meet damage with errors of many kinds."""
        with guarded(f"{self.path} cannot be read at level {level}, {box}"):
            pixels = self._read(box, level)
        if pixels.shape != (box.h, box.w, self.channels):
            raise CorruptSourceError(
                f"{self.path} gives pixels of the shape {pixels.shape} at level {level}, {box}, not "
                f"{(box.h, box.w, self.channels)}: its metadata are damaged"
            )
        return pixels

    def at(self, spacing: float) -> ResampledView:
        """The image with square pixels of `spacing`, in the unit of `lattice` (micrometres for slides).

        Raises:
            MissingMppError: if the physical pixel size is unknown.
            RegionError: if `spacing` is not positive.
        """
        from infbrush_wsi.sources.view import ResampledView

        if self.lattice.unit == "pixel":
            raise MissingMppError(
                f"{self.path} does not say its physical pixel size: give it (--assume-mpp; open_source(path, mpp=...))"
            )
        return ResampledView(self, spacing)

    def at_mpp(self, mpp: float) -> ResampledView:
        """The image at `mpp` micrometres per pixel, whatever the unit of its lattice.

        Raises:
            MissingMppError: if the pixel size is unknown or not a length (degrees).
        """
        factor = MICROMETERS_PER_UNIT.get(self.lattice.unit)
        if factor is None and self.lattice.unit != "pixel":
            raise MissingMppError(
                f"{self.path} is measured in {self.lattice.unit}, which is no length: use at(spacing) in that unit"
            )
        return self.at(mpp / (factor or 1.0))

    def thumbnail(self, max_side: int = 1024) -> tuple[NDArray[np.uint8], Lattice]:
        """The whole image, with its longer side at most `max_side` pixels.

        Returns:
            uint8 (h, w, C) and the lattice that it lies on.
        """
        from infbrush_wsi.sources.view import ResampledView

        lattice = self.lattice
        factor = max(1.0, max(lattice.shape.w, lattice.shape.h) / max_side)
        if factor > 1 or lattice.spacing.x != lattice.spacing.y:
            view = ResampledView(self, factor * max(lattice.spacing.x, lattice.spacing.y))
            pixels = view.level.lattice.shape.count
            check_holds(self.path, pixels, self._stored(-(-pixels // MOST_PIXELS_A_BYTE)))
            return view.read(Box(0, 0, view.shape.w, view.shape.h)), view.lattice
        return self.read_box(Box(0, 0, lattice.shape.w, lattice.shape.h)), lattice

    def mask(self, max_side: int = 1024, kind: MaskKind = "auto") -> tuple[NDArray[np.bool_], Lattice]:
        """Where there is something to learn from.

        Args:
            max_side: longer side of the mask in pixels.
            kind: 'tissue' (stained, not glass), 'valid' (no nodata, not transparent, no black collar), or 'auto':
                tissue for slides, valid for rasters and photographs.

        Returns:
            bool (h, w) and the lattice that it lies on.
        """
        overview, lattice = self.thumbnail(max_side)
        with guarded(f"the mask of {self.path} cannot be read"):
            valid = self._valid(lattice, overview)
        chosen = self.mask_kind if kind == "auto" else kind
        return (valid & tissue_mask(overview) if chosen == "tissue" else valid), lattice

    def close(self) -> None:
        """Let go of the open files; reading afterwards raises SourceError. Closing twice is harmless."""
        self._closed = True

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Path, size and pixel size."""
        h, w = self.level_shapes[0]
        size = f"{self.lattice.spacing.x:g} {self.lattice.unit}"
        return f"<{type(self).__name__} {self.path!r} {w}x{h}x{self.channels}, {self.level_count} levels, {size}>"

    def _stored(self, enough: int) -> int | None:
        """Bytes on disk, counted until there are `enough`; None if nobody knows."""
        return stored_bytes(self.path, enough)

    def _level(self, level: int) -> Level:
        if not 0 <= level < len(self.levels):
            raise RegionError(f"{self.path} has no level {level}: its levels are 0 to {len(self.levels) - 1}")
        return self.levels[level]


def _integer(value: object, what: str) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise RegionError(f"{what} must be whole pixels, not {value!r}") from error
