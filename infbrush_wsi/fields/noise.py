"""Gaussian noise that is a function on the plane.

White noise on a lattice is no function: at another resolution it is another realisation. Here i.i.d. normals
``xi_j`` live on the infinite lattice of training-pixel centres, each a pure function of (seed, stream, channel, j),
and the field is their normalised Gaussian average

    eta(c) = std * sum_j w(c - j) xi_j / sqrt(sum_j w(c - j)**2),   w(r) = exp(-|r|**2 / (2 sigma**2)),

over the nodes with ``|c - j|_inf <= radius * sigma``. It can be evaluated anywhere, in any order, on any machine and
at any resolution, without storage or communication, and is always the same function. The division by the local norm
makes the variance exactly ``std**2`` everywhere; the covariance is ``std**2 exp(-d**2 / (4 sigma**2))`` (to 3e-4 of
the variance at the default radius of 4 sigma).

Coordinates are in training pixels, y downwards and x to the right; pixel (i, j) has its centre, and its noise node, at
(y, x) = (i + 0.5, j + 0.5). Indices may be negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box, Shape, tiles
from infbrush_wsi.errors import ConfigError, RegionError, SamplingError
from infbrush_wsi.fields import _noise_kernels as kernels
from infbrush_wsi.fields._threads import ranges, run_parts

_LIMIT = float(2**31 - 2**16)
_POINTS_PER_PART = 2048
_ROWS_PER_PART = 64
_TILE = 256
# A block of nodes is worth its memory traffic while it is clearly smaller than the number of taps to be read from it
# (measured: benchmarks/noise.py).
_BLOCK_NODES_PER_TAP = 0.25
_CROWD = 64  # points below which a block of their own does not repay its overhead
_CROWD_REACHES = 16  # side of the cells in which crowds are looked for


@dataclass(frozen=True)
class NoiseField:
    """A stationary Gaussian field with a closed-form covariance, evaluable at any coordinates.

    Equal coordinates give equal bits, by whichever method, in whatever company, on any number of threads. Safe in
    forked loader workers and in Dask threads. Picklable; equal fields are equal objects.

    Attributes:
        seed: whole number of 64 bits: which realisation.
        channels: independent components.
        sigma: standard deviation of the Gaussian average, in training pixels; at least 1 (a narrower one would leave
            a visible trace of the lattice in the covariance).
        radius: reach of the taps in units of sigma.
        std: standard deviation of the field at every point. None: that of unit white noise after a Gaussian blur of
            unit mass, ``1 / sqrt(4 pi sigma**2)``, as in mollified diffusion.
        stream: whole number of 32 bits for independent noise of one seed (step of a sampler, use).

    Raises:
        ConfigError: if an attribute is out of range.
    """

    seed: int
    channels: int
    sigma: float = 1.0
    radius: int = 4
    std: float | None = None
    stream: int = 0

    def __post_init__(self) -> None:
        bounds = {"seed": (0, 2**64 - 1), "stream": (0, 2**32 - 1), "channels": (1, 2**20), "radius": (2, 8)}
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not (isinstance(value, int | np.integer) and low <= value <= high):
                raise ConfigError(f"noise: {name} must be a whole number from {low} to {high}, not {value!r}")
        if not 1.0 <= self.sigma <= 1024.0:
            raise ConfigError(f"noise: sigma must be 1 to 1024 training pixels, not {self.sigma!r}")
        if self.std is not None and not (math.isfinite(self.std) and self.std > 0):
            raise ConfigError(f"noise: std must be positive or None, not {self.std!r}")

    @property
    def scale(self) -> float:
        """Standard deviation of the field at every point."""
        return 1.0 / math.sqrt(4.0 * math.pi * self.sigma**2) if self.std is None else float(self.std)

    @property
    def reach(self) -> float:
        """Distance along an axis up to which a node has influence, in training pixels."""
        return self.radius * self.sigma

    def covariance(self, distance: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Covariance of two values of a channel at a Euclidean distance in training pixels (closed form).

        Args:
            distance: any shape.

        Returns:
            Float64 of the same shape.
        """
        d = np.asarray(distance, dtype=np.float64)
        return self.scale**2 * np.exp(-(d**2) / (4.0 * self.sigma**2))

    def white(self, box: Box, *, threads: int | None = None) -> NDArray[np.float32]:
        """The white noise under the field: independent standard normals at the nodes (pixel centres) of a box.

        Args:
            box: nodes x0..x1-1, y0..y1-1; may be negative.
            threads: see :func:`infbrush_wsi.fields._threads.default_threads`.

        Returns:
            Float32 (h, w, channels).

        Raises:
            RegionError: if the box has a negative size or is farther than 2**31 from the origin.
        """
        if box.w < 0 or box.h < 0 or max(-box.x0, -box.y0, box.x1, box.y1) > _LIMIT:
            raise RegionError(f"noise: {box} has a negative size or reaches beyond 2**31 training pixels")
        block = np.empty((box.h, box.w, self.channels), np.float32)
        key, stream = self._key(), self.stream

        def fill(rows: slice) -> None:
            kernels.white_block(box.y0 + rows.start, box.x0, key, stream, block[rows])

        run_parts(fill, ranges(box.h, _ROWS_PER_PART), threads)
        return block

    def at(self, points: NDArray[np.float64], *, threads: int | None = None) -> NDArray[np.float32]:
        """The field at any points.

        The noise of the points' bounding box, or of those places where points crowd, is computed once if that is less
        work than computing it for each point anew, so memory grows with the number of points only. The values are the
        same.

        Args:
            points: (N, 2) of (y, x) in training pixels, any order; read as float64.
            threads: see :func:`infbrush_wsi.fields._threads.default_threads`.

        Returns:
            Float32 (N, channels).

        Raises:
            SamplingError: if the shape is wrong or a coordinate is not finite or farther than 2**31 from the origin.
        """
        c = np.ascontiguousarray(points, dtype=np.float64)
        if c.ndim != 2 or c.shape[1] != 2:
            raise SamplingError(f"noise: points must have shape (N, 2) of (y, x), not {np.shape(points)}")
        out = np.empty((c.shape[0], self.channels), np.float32)
        if c.shape[0] == 0:
            return out
        if not (c.min() > -_LIMIT and c.max() < _LIMIT):
            raise SamplingError("noise: a coordinate is not finite or is beyond 2**31 training pixels")
        if self._share_nodes(c):
            self._from_block(c, out, threads)
            return out
        crowds, others = self._crowds(c)
        run_parts(lambda crowd: self._from_crowd(c, crowd, out), crowds, threads)
        if len(others) == c.shape[0]:
            self._streaming(c, out, threads)
        elif len(others):
            rest = np.empty((len(others), self.channels), np.float32)
            self._streaming(c[others], rest, threads)
            out[others] = rest
        return out

    def on_lattice(
        self,
        origin_yx: tuple[float, float],
        spacing: float,
        shape: Shape,
        *,
        first_yx: tuple[int, int] = (0, 0),
        threads: int | None = None,
    ) -> NDArray[np.float32]:
        """The field at the pixel centres ``origin + spacing * (first + index + 0.5)`` of a lattice.

        To read windows of one lattice with the same bits, keep `origin_yx` and shift `first_yx`: for spacings that
        are no sums of few powers of two, a shifted origin would round differently.

        Args:
            origin_yx: (y, x) of the lattice's corner, in training pixels.
            spacing: side of its pixels in training pixels: below 1 is finer, above 1 coarser than training.
            shape: rows and columns to evaluate.
            first_yx: row and column of the lattice at which the window begins.
            threads: see :func:`infbrush_wsi.fields._threads.default_threads`.

        Returns:
            Float32 (h, w, channels).

        Raises:
            RegionError: if the lattice makes no sense or leaves the plane of 2**31 training pixels.
        """
        if not (math.isfinite(spacing) and spacing > 0) or shape.h < 0 or shape.w < 0:
            raise RegionError(f"noise: spacing must be positive and {shape} not negative; spacing is {spacing!r}")
        ys = origin_yx[0] + spacing * (first_yx[0] + np.arange(shape.h, dtype=np.float64) + 0.5)
        xs = origin_yx[1] + spacing * (first_yx[1] + np.arange(shape.w, dtype=np.float64) + 0.5)
        out = np.empty((shape.h, shape.w, self.channels), np.float32)
        if shape.count == 0:
            return out
        if not all(axis.min() > -_LIMIT and axis.max() < _LIMIT for axis in (ys, xs)):
            raise RegionError("noise: the lattice is not finite or reaches beyond 2**31 training pixels")
        run_parts(lambda tile: self._fill_tile(ys, xs, tile, out), list(tiles(shape, _TILE)), threads)
        return out

    def _fill_tile(self, ys: NDArray[np.float64], xs: NDArray[np.float64], tile: Box, out: NDArray[np.float32]) -> None:
        rows, columns = tile.slices
        box = self._nodes(ys[rows], xs[columns])
        if box.w * box.h > (2.0 * self.reach + 1.0) ** 2 * tile.w * tile.h:
            # Coarse lattices: most nodes of the box touch no pixel.
            y, x = np.meshgrid(ys[rows], xs[columns], indexing="ij")
            points = np.stack([y.ravel(), x.ravel()], axis=1)
            out[rows, columns] = self.at(points, threads=1).reshape(tile.h, tile.w, self.channels)
            return
        block = self.white(box, threads=1)
        kernels.lattice_from_block(
            ys[rows], xs[columns], block, box.y0, box.x0, self.reach, self.sigma, self.scale, out[rows, columns]
        )

    def _share_nodes(self, points: NDArray[np.float64]) -> bool:
        """Whether the noise of the points' bounding box is less work than that of each point's taps."""
        box = self._nodes(points[:, 0], points[:, 1])
        return box.w * box.h <= _BLOCK_NODES_PER_TAP * (2.0 * self.reach + 1.0) ** 2 * len(points)

    def _crowds(self, points: NDArray[np.float64]) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        """Indices of points close together (dense windows of a training draw), crowd by crowd, and of all others."""
        cell = np.floor(points / (_CROWD_REACHES * self.reach)).astype(np.int64)
        cell -= cell.min(axis=0)
        key = cell[:, 0] * (int(cell[:, 1].max()) + 1) + cell[:, 1]
        order = np.argsort(key, kind="stable")
        edges = np.concatenate([[0], np.flatnonzero(np.diff(key[order])) + 1, [len(order)]])
        large = np.flatnonzero(np.diff(edges) >= _CROWD)
        groups = [order[edges[i] : edges[i + 1]] for i in large]
        crowds = [group for group in groups if self._share_nodes(points[group])]
        alone = np.ones(len(points), bool)
        for crowd in crowds:
            alone[crowd] = False
        return crowds, np.flatnonzero(alone)

    def _from_crowd(self, points: NDArray[np.float64], crowd: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        values = np.empty((len(crowd), self.channels), np.float32)
        self._from_block(points[crowd], values, threads=1)
        out[crowd] = values

    def _from_block(self, points: NDArray[np.float64], out: NDArray[np.float32], threads: int | None) -> None:
        box = self._nodes(points[:, 0], points[:, 1])
        block = self.white(box, threads=threads)

        def evaluate(part: slice) -> None:
            kernels.points_from_block(
                points[part], block, box.y0, box.x0, self.reach, self.sigma, self.scale, out[part]
            )

        run_parts(evaluate, ranges(points.shape[0], _POINTS_PER_PART), threads)

    def _streaming(self, points: NDArray[np.float64], out: NDArray[np.float32], threads: int | None) -> None:
        key = self._key()

        def evaluate(part: slice) -> None:
            kernels.points_streaming(points[part], key, self.stream, self.reach, self.sigma, self.scale, out[part])

        run_parts(evaluate, ranges(points.shape[0], _POINTS_PER_PART), threads)

    def _nodes(self, ys: NDArray[np.float64], xs: NDArray[np.float64]) -> Box:
        """Nodes that the taps of these coordinates touch, by the same rounding as in the kernels."""
        y0, x0 = (math.ceil(float(axis.min()) - 0.5 - self.reach) for axis in (ys, xs))
        y1, x1 = (math.floor(float(axis.max()) - 0.5 + self.reach) + 1 for axis in (ys, xs))
        return Box(x0, y0, x1 - x0, y1 - y0)

    def _key(self) -> NDArray[np.uint64]:
        seed = int(self.seed)
        return np.array([seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint64)
