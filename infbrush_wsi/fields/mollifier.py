"""The mollifier T: a truncated Gaussian average of unit mass on the pixel lattice.

Mollified diffusion learns ``T x0`` and ``T xi`` instead of images and white noise: smooth functions that can be
evaluated at points. ``sigma`` is in pixels of the image T is applied to: one *training* pixel by default.

Images are (H, W, C). Whole-number images must be uint8 and are mapped to [-1, 1] by ``v / 127.5 - 1``; floating
images are taken as they are. T has unit mass, so it keeps constants and never leaves the range of its input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infbrush_wsi.errors import ConfigError, SamplingError
from infbrush_wsi.fields._compiled import compiled, compiled_inline
from infbrush_wsi.fields._threads import ranges, run_parts

_POINTS_PER_PART = 4096
_LONGEST_RUN = 64
_SHORTEST_RUN = 4

Image = NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.float64]
Points = NDArray[np.int32] | NDArray[np.int64]


@dataclass(frozen=True)
class Mollifier:
    """T, evaluated at chosen pixels (:meth:`gather`) or everywhere (:meth:`on_image`), with the same values.

    Attributes:
        sigma: standard deviation of the Gaussian, in pixels; positive.
        radius: reach of the taps in units of sigma.

    Raises:
        ConfigError: if an attribute is out of range.
    """

    sigma: float = 1.0
    radius: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.sigma <= 1024:
            raise ConfigError(f"mollifier: sigma must be positive and at most 1024 pixels, not {self.sigma!r}")
        if not 2 <= self.radius <= 8:
            raise ConfigError(f"mollifier: radius must be 2 to 8 (in units of sigma), not {self.radius!r}")

    @property
    def apron(self) -> int:
        """Pixels that :meth:`gather` needs around a point on every side: whole pixels within radius * sigma."""
        return math.floor(self.radius * self.sigma)

    @cached_property
    def _taps(self) -> NDArray[np.float64]:
        return self.taps

    @property
    def taps(self) -> NDArray[np.float64]:
        """The weights along one axis: float64 (2 * apron + 1,), symmetric, with sum 1."""
        offsets = np.arange(-self.apron, self.apron + 1, dtype=np.float64)
        weights = np.exp(-0.5 * (offsets / self.sigma) ** 2)
        return np.asarray(weights / weights.sum())

    def gather(self, tile: Image, points_yx: Points, *, threads: int | None = None) -> NDArray[np.float32]:
        """``T x0`` at chosen pixels of a tile, without blurring the rest.

        Args:
            tile: (H, W, C) uint8 or floating, with an apron of :attr:`apron` pixels around every point. At a true
                image border the apron is the caller's (``numpy.pad(mode="symmetric")`` agrees with :meth:`on_image`).
            points_yx: (N, 2) whole numbers, (row, column) in the tile's own frame, apron included.
            threads: see :func:`infbrush_wsi.fields._threads.default_threads`.

        Returns:
            Float32 (N, C), in [-1, 1] for uint8 tiles.

        Raises:
            SamplingError: if an array has the wrong shape or type, or a point lies within the apron.
        """
        _check_image(tile)
        if points_yx.ndim != 2 or points_yx.shape[1] != 2 or not np.issubdtype(points_yx.dtype, np.integer):
            raise SamplingError(
                f"mollifier: points must be whole numbers of shape (N, 2), not {points_yx.dtype} {points_yx.shape}"
            )
        points = points_yx.astype(np.int64)
        out = np.empty((points.shape[0], tile.shape[2]), np.float32)
        if points.shape[0] == 0:
            return out
        limit = np.array(tile.shape[:2]) - self.apron
        if (points < self.apron).any() or (points >= limit).any():
            raise SamplingError(
                f"mollifier: a point lies within {self.apron} pixels of the border of its {tile.shape[1]} x "
                f"{tile.shape[0]} tile; read the tile with an apron of that width"
            )
        parts = ranges(points.shape[0], _POINTS_PER_PART)
        whole: Image = np.ascontiguousarray(tile)  # type: ignore[assignment]
        run_parts(lambda part: self.gather_into(whole, points[part], out[part]), parts, threads)
        return out

    def gather_into(self, tile: Image, points_yx: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """As :meth:`gather`, on one thread and with nothing checked, for callers with many tiles of few points.

        Args:
            tile: (H, W, C), contiguous in memory.
            points_yx: (N, 2), every one with its apron inside the tile.
            out: (N, C), written.
        """
        gain, offset = _grey_map(tile)
        rows = tile.reshape(tile.shape[0], -1)
        _gather(rows, points_yx, self._taps, gain, offset, out)

    def on_image(self, image: Image) -> NDArray[np.float32]:
        """``T x0`` at every pixel; beyond its border the image is continued by reflection (edge pixel repeated).

        Args:
            image: (H, W, C) uint8 or floating.

        Returns:
            Float32 (H, W, C), in [-1, 1] for uint8 images.

        Raises:
            SamplingError: if the array has the wrong shape or type.
        """
        _check_image(image)
        gain, offset = _grey_map(image)
        values = image.astype(np.float64)
        for axis in (1, 0):
            values = ndimage.correlate1d(values, self.taps, axis=axis, mode="reflect")
        return np.asarray(values * gain + offset, dtype=np.float32)

    def transfer(self, frequency_yx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transfer function of the continuous Gaussian, ``exp(-|w|**2 sigma**2 / 2)``.

        That of the taps on the lattice, ``sum_k taps_k cos(w k)`` per axis, is higher by the aliased tail: at
        sigma = 1 by less than 2e-4 up to 2.2 rad per pixel along an axis, and by 0.0072 at pi.

        Args:
            frequency_yx: (..., 2) in radians per pixel.

        Returns:
            Float64 (...).
        """
        w = np.asarray(frequency_yx, dtype=np.float64)
        return np.asarray(np.exp(-0.5 * self.sigma**2 * (w**2).sum(axis=-1)))


def _check_image(image: Image) -> None:
    if image.ndim != 3:
        raise SamplingError(f"mollifier: an image must have shape (H, W, C), not {image.shape}")
    if image.dtype not in (np.uint8, np.float32, np.float64):
        raise SamplingError(
            f"mollifier: an image must be uint8, float32 or float64, not {image.dtype}; scale other types to [-1, 1]"
        )


def _grey_map(image: Image) -> tuple[float, float]:
    """Factor and offset that take the stored values to [-1, 1]."""
    return (1.0 / 127.5, -1.0) if image.dtype == np.uint8 else (1.0, 0.0)


@compiled
def _gather(
    image: Image,
    points: NDArray[np.int64],
    taps: NDArray[np.float64],
    gain: float,
    offset: float,
    out: NDArray[np.float32],
) -> None:
    """Averages at points of an image (H, W * C) into out (N, C).

    Neighbouring pixels of a row that follow each other are averaged together, in vector instructions. A value has the
    same terms in the same order either way: first along each row, then over the rows.
    """
    apron, channels = taps.shape[0] // 2, out.shape[1]
    pixels = np.empty((_LONGEST_RUN + 2 * apron) * channels)
    row, total = np.empty(_LONGEST_RUN * channels), np.empty(_LONGEST_RUN * channels)
    first = 0
    while first < points.shape[0]:
        last = _run_end(points, first)
        if last - first < _SHORTEST_RUN:
            for p in range(first, last):
                _average_point(image, points[p, 0] - apron, points[p, 1] - apron, taps, gain, offset, out[p])
        else:
            width = (last - first) * channels
            y, x = points[first, 0] - apron, (points[first, 1] - apron) * channels
            _average_run(image, y, x, width, taps, channels, pixels, row, total)
            for m in range(width):
                out[first + m // channels, m % channels] = np.float32(total[m] * gain + offset)
        first = last


@compiled
def _run_end(points: NDArray[np.int64], first: int) -> int:
    """End of the points from `first` on that are neighbours in a row, left to right."""
    last = first + 1
    while last < points.shape[0] and last - first < _LONGEST_RUN:
        if points[last, 0] != points[first, 0] or points[last, 1] != points[last - 1, 1] + 1:
            break
        last += 1
    return last


@compiled_inline
def _average_point(
    image: Image,
    y: int,
    x: int,
    taps: NDArray[np.float64],
    gain: float,
    offset: float,
    out: NDArray[np.float32],
) -> None:
    channels = out.shape[0]
    for channel in range(channels):
        total = 0.0
        for i in range(taps.shape[0]):
            row = 0.0
            for j in range(taps.shape[0]):
                row += taps[j] * image[y + i, (x + j) * channels + channel]
            total += taps[i] * row
        out[channel] = np.float32(total * gain + offset)


@compiled_inline
def _average_run(
    image: Image,
    y: int,
    x: int,
    width: int,
    taps: NDArray[np.float64],
    channels: int,
    pixels: NDArray[np.float64],
    row: NDArray[np.float64],
    total: NDArray[np.float64],
) -> None:
    total[:width] = 0.0
    for i in range(taps.shape[0]):
        for m in range(width + (taps.shape[0] - 1) * channels):
            pixels[m] = image[y + i, x + m]
        row[:width] = 0.0
        for j in range(taps.shape[0]):
            for m in range(width):
                row[m] += taps[j] * pixels[m + j * channels]
        for m in range(width):
            total[m] += taps[i] * row[m]
