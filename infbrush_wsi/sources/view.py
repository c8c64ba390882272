"""A source at any pixel size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import RegionError
from infbrush_wsi.sources.edges import read_filled, read_mirrored

if TYPE_CHECKING:
    from infbrush_wsi.sources.base import Source
    from infbrush_wsi.sources.level import Level

Fill = Literal["reflect", "background"]
SAME_WITHIN = 1.0
SAME_RATIO = 0.02
"""A level is taken as it is if its pixels drift from those wanted by less than one over the whole image, and are of
the same size within two per cent: the sizes of levels are rounded, so 2 may be 1.9975."""
KERNEL_RADIUS = 3
"""Of Lanczos' kernel, in output pixels when shrinking and input pixels when enlarging."""
MAX_FOOTPRINT = 2**27
"""Most level pixels that one pixel of a view may take with its margin."""
MAX_PART = 2**24
"""Most level pixels held at once while a view is resampled."""


class ResampledView:
    """A source seen with square pixels of a given size.

    It reads from the coarsest level that is at least as fine, and resamples it with Lanczos' kernel (Pillow), which
    does not alias. A window read alone equals the same window cut from the whole within one grey level, and equals
    the level's own pixels where `spacing` is a level's.

    Args:
        source: where the pixels come from.
        spacing: side of a pixel in the unit of ``source.lattice``.

    Attributes:
        source: the source.
        spacing: side of a pixel.
        lattice: the pixels of the view in physical space.

    Raises:
        RegionError: if `spacing` is not positive and finite.
    """

    def __init__(self, source: Source, spacing: float) -> None:
        self.source = source
        self.spacing = float(spacing)
        wanted = source.lattice.resampled(self.spacing)
        self._level = _best_level(source.levels, wanted)
        self._exact = _same(self._level.lattice, wanted)
        self.lattice = self._level.lattice if self._exact else wanted
        # Levels and views have the same axes, so the map between their pixels is a scale and a shift.
        to_level = ~self._level.lattice.transform @ self.lattice.transform
        self._scale = (to_level.a, to_level.e)
        self._shift = (to_level.c, to_level.f)

    @property
    def shape(self) -> Shape:
        """Rows and columns."""
        return self.lattice.shape

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.source.channels

    @property
    def level(self) -> Level:
        """The level that it is read from."""
        return self._level

    def read(self, box: Box, *, fill: Fill | None = None) -> NDArray[np.uint8]:
        """Read a window, in pixels of the view.

        Args:
            box: the window.
            fill: what to put outside the image: 'reflect' mirrors it about its edge (half-sample symmetric),
                'background' takes the source's background; None refuses to read outside.

        Returns:
            uint8 (box.h, box.w, C).

        Raises:
            RegionError: if the box is empty, or reaches outside and `fill` is None.
        """
        if box.empty:
            raise RegionError(f"a region needs a positive size, not {box.w} x {box.h}")
        if fill == "background":
            return read_filled(self._inside, box, self.shape, self.source.background)
        if fill == "reflect":
            return read_mirrored(self._inside, box, self.shape)
        if box.clip(self.shape) != box:
            raise RegionError(
                f"{box} reaches outside the image of {self.shape.w} x {self.shape.h} pixels; "
                "pass fill='reflect' or fill='background' to read it"
            )
        return self._inside(box)

    def _inside(self, box: Box) -> NDArray[np.uint8]:
        if self._exact:
            return self.source.read_box(box, self._level.index)
        out = np.empty((box.h, box.w, self.channels), dtype=np.uint8)
        for part in _parts(box, self._scale):
            out[part.relative_to(box).slices] = self._resample(part)
        return out

    def _resample(self, box: Box) -> NDArray[np.uint8]:
        x0, x1, left, width = _footprint(box.x0, box.x1, self._scale[0], self._shift[0])
        y0, y1, top, height = _footprint(box.y0, box.y1, self._scale[1], self._shift[1])
        index, shape = self._level.index, self._level.lattice.shape
        if width * height > MAX_FOOTPRINT:
            raise RegionError(
                f"a pixel of this view of {self.source.path} is {self._scale[0]:.0f} x {self._scale[1]:.0f} pixels of "
                f"its coarsest usable level, too many to be read at once: give the image coarser levels (overviews)"
            )
        # Mirrored by level pixels, so that what lies beyond the edge does not depend on the window that is read.
        pixels = read_mirrored(lambda b: self.source.read_box(b, index), Box(left, top, width, height), shape)
        frame = (x0 - left, y0 - top, x1 - left, y1 - top)
        return _resize(pixels, (box.w, box.h), frame)


def _footprint(start: int, stop: int, scale: float, shift: float) -> tuple[float, float, int, int]:
    """Level coordinates of an interval of view pixels, and first pixel and count with the kernel's margin."""
    low, high = start * scale + shift, stop * scale + shift
    margin = KERNEL_RADIUS * max(1.0, scale) + 1
    first = math.floor(low - margin)
    return low, high, first, math.ceil(high + margin) - first


def _resize(
    pixels: NDArray[np.uint8], size: tuple[int, int], frame: tuple[float, float, float, float]
) -> NDArray[np.uint8]:
    method = Image.Resampling.LANCZOS
    if pixels.shape[-1] == 3:
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, method, box=frame))
    # Band by band: Pillow would take a fourth channel for alpha and multiply by it.
    bands = [np.ascontiguousarray(pixels[..., band]) for band in range(pixels.shape[-1])]
    return np.stack([np.asarray(Image.fromarray(band).resize(size, method, box=frame)) for band in bands], axis=-1)


def _parts(box: Box, scale: tuple[float, float]) -> list[Box]:
    """Cut a box into parts that are read from at most about MAX_PART level pixels each."""
    if box.w * box.h == 1 or box.w * scale[0] * box.h * scale[1] <= MAX_PART:
        return [box]
    if box.h == 1 or (box.w > 1 and box.w * scale[0] >= box.h * scale[1]):
        half = box.w // 2
        halves = Box(box.x0, box.y0, half, box.h), Box(box.x0 + half, box.y0, box.w - half, box.h)
    else:
        half = box.h // 2
        halves = Box(box.x0, box.y0, box.w, half), Box(box.x0, box.y0 + half, box.w, box.h - half)
    return [part for piece in halves for part in _parts(piece, scale)]


def _same(level: Lattice, wanted: Lattice) -> bool:
    x = abs(wanted.spacing.x / level.spacing.x - 1)
    y = abs(wanted.spacing.y / level.spacing.y - 1)
    return max(x, y) < SAME_RATIO and max(x * level.shape.w, y * level.shape.h) < SAME_WITHIN


def _best_level(levels: tuple[Level, ...], wanted: Lattice) -> Level:
    """The coarsest level that is at least as fine as wanted, or level 0."""
    fine = [
        level
        for level in levels
        if (level.lattice.spacing.x <= wanted.spacing.x and level.lattice.spacing.y <= wanted.spacing.y)
        or _same(level.lattice, wanted)
    ]
    return max(fine or levels[:1], key=lambda level: level.downsample)
