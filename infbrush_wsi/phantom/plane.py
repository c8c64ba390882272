"""Randomness that belongs to the plane, not to the image: the same seed is the same ground at any pixel size.

Everything here is drawn from small random tables that repeat with a period far beyond the structures drawn from them,
and is addressed by physical position. An image is a window of that plane which starts at (0, 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from infbrush_wsi.domain import Extent, Lattice, centres
from infbrush_wsi.errors import ConfigError

Floats = NDArray[np.float32]
"""float32 array, the only precision used inside the phantoms."""

# Each axis of a cubic B-spline over white noise keeps a variance of 151/315 (the integral of the squared spline).
_SPLINE_VARIANCE = 151.0 / 315.0


def generator(seed: int, *key: int) -> np.random.Generator:
    """The random generator of one ingredient `key` of the phantom with this `seed`.

    Raises:
        ConfigError: if `seed` is not an integer >= 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"a phantom's seed must be an integer of at least 0, not {seed!r}")
    return np.random.default_rng([int(seed), *key])


@dataclass(frozen=True)
class PixelGrid:
    """Physical positions of the pixel centres of a picture.

    Attributes:
        y: (h,) row positions.
        x: (w,) column positions.
        spacing: side of a pixel, in the same unit.
    """

    y: Floats
    x: Floats
    spacing: float

    @classmethod
    def of(cls, lattice: Lattice) -> PixelGrid:
        """The pixel centres of a square, unrotated lattice that starts at the origin."""
        step = lattice.spacing.x
        rows, columns = centres(0, lattice.shape.h) * step, centres(0, lattice.shape.w) * step
        return cls(rows.astype(np.float32), columns.astype(np.float32), step)

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w)."""
        return len(self.y), len(self.x)

    def window(self, y: float, x: float, radius: float) -> tuple[slice, slice]:
        """Rows and columns within `radius` of a point, clipped to the picture (possibly empty)."""
        y0, y1 = int((y - radius) // self.spacing), int((y + radius) // self.spacing) + 1
        x0, x1 = int((x - radius) // self.spacing), int((x + radius) // self.spacing) + 1
        h, w = self.shape
        return slice(min(max(y0, 0), h), min(max(y1, 0), h)), slice(min(max(x0, 0), w), min(max(x1, 0), w))

    def enlarge(self, values: Floats, coarse: PixelGrid) -> Floats:
        """A map (h', w') drawn on a coarser grid, interpolated linearly to the pixels of this one (h, w)."""
        across = _linear_weights(self.x, coarse.spacing, values.shape[1]) @ np.ascontiguousarray(values.T)
        down = _linear_weights(self.y, coarse.spacing, values.shape[0])
        return np.asarray(down @ np.ascontiguousarray(across.T), dtype=np.float32)

    def sample(self, values: Floats, y: Floats, x: Floats) -> Floats:
        """Values (h, w) of a drawn map at points (n,), bilinear, held constant beyond the border."""
        at = np.stack([y / self.spacing - 0.5, x / self.spacing - 0.5])
        return np.asarray(ndimage.map_coordinates(values, at, order=1, mode="nearest", output=np.float32))


def _linear_weights(positions: Floats, spacing: float, count: int) -> sparse.csr_array:
    """Sparse (n, count) matrix of linear interpolation between `count` cell centres, constant beyond the ends."""
    t = np.clip(positions.astype(np.float64) / spacing - 0.5, 0, count - 1)
    first = np.minimum(t.astype(np.int64), max(count - 2, 0))
    f = (t - first).astype(np.float32)
    columns = np.minimum(np.stack([first, first + 1], axis=1), count - 1)
    rows = np.arange(0, 2 * len(t) + 1, 2)
    return sparse.csr_array((np.stack([1 - f, f], axis=1).ravel(), columns.ravel(), rows), shape=(len(t), count))


class SmoothNoise:
    """A Gaussian random function of the plane with mean 0 and variance 1, smooth over `scale` units.

    A cubic B-spline over a periodic table of white noise; :meth:`grid` and :meth:`at` give the same function.

    Args:
        rng: where the table is drawn from.
        scale: spacing of the table (about half the width of a blob), in physical units.
        table: entries along each side; the noise repeats after ``scale * table``.
    """

    def __init__(self, rng: np.random.Generator, scale: float, table: int = 256) -> None:
        self.scale = scale
        self.table: Floats = rng.standard_normal((table, table), dtype=np.float32) / np.float32(_SPLINE_VARIANCE)

    def grid(self, pixels: PixelGrid) -> Floats:
        """Values (h, w) at the pixel centres."""
        across = self._weights(pixels.x) @ self.table.T
        return np.asarray(self._weights(pixels.y) @ np.ascontiguousarray(across.T), dtype=np.float32)

    def at(self, y: Floats, x: Floats) -> Floats:
        """Values (n,) at any points."""
        at = np.stack([y, x]) / np.float32(self.scale)
        wrapped = ndimage.map_coordinates(self.table, at, order=3, prefilter=False, mode="grid-wrap")
        return np.asarray(wrapped, dtype=np.float32)

    def _weights(self, positions: Floats) -> sparse.csr_array:
        """Sparse (n, table) matrix of the four spline taps of each position."""
        t = positions.astype(np.float64) / self.scale
        first = np.floor(t)
        f = t - first
        taps = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3], axis=1) / 6
        columns = (first[:, None].astype(np.int64) + np.arange(-1, 3)) % len(self.table)
        rows = np.arange(0, 4 * len(t) + 1, 4)
        shape = (len(t), len(self.table))
        return sparse.csr_array((taps.astype(np.float32).ravel(), columns.ravel(), rows), shape=shape)


@dataclass(frozen=True)
class Scatter:
    """Points of a jittered hexagonal grid, each with its own random numbers.

    Attributes:
        y: (n,) positions.
        x: (n,) positions.
        u: (n, k) uniform in [0, 1): whatever is to be drawn for a point comes from its row.
    """

    y: Floats
    x: Floats
    u: Floats

    def keep(self, mask: NDArray[np.bool_]) -> Scatter:
        """The points where `mask` (n,) holds."""
        return Scatter(self.y[mask], self.x[mask], self.u[mask])


def scatter(
    rng: np.random.Generator, extent: Extent, spacing: float, jitter: float, numbers: int = 6, table: int = 128
) -> Scatter:
    """Jittered grid points over an extent and one cell around it.

    Args:
        rng: where the table of cells is drawn from (repeats after `table` cells).
        extent: the picture; points just outside are returned too, so that what they carry can reach in.
        spacing: mean distance of neighbours, in units of `extent`.
        jitter: 0 (hexagonal grid) to 1 (a point anywhere in its cell).
        numbers: random numbers per point.
        table: cells along each side of the table.
    """
    cells = rng.random((table, table, numbers + 2), dtype=np.float32)
    i, j = np.arange(-1, int(extent.h / spacing) + 2), np.arange(-1, int(extent.w / spacing) + 2)
    drawn = cells[np.ix_(i % table, j % table)]
    shift = 0.5 * (i % 2)[:, None].astype(np.float32)
    y = (i[:, None] + 0.5 + jitter * (drawn[..., 0] - 0.5)) * spacing
    x = (j[None, :] + 0.25 + shift + jitter * (drawn[..., 1] - 0.5)) * spacing
    return Scatter(y.ravel().astype(np.float32), x.ravel().astype(np.float32), drawn[..., 2:].reshape(-1, numbers))
