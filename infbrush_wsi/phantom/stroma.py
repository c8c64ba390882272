"""What lies between the glands: collagen that flows and curls around them, and fat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, spatial, special

from infbrush_wsi.domain import Extent, Lattice, Shape
from infbrush_wsi.phantom.plane import Floats, PixelGrid, SmoothNoise, scatter

_FIBRE_TABLE = 512


class Flow:
    """The direction in which the collagen of a slide runs: the contour lines of a smooth function of the plane.

    Args:
        rng: generator of this ingredient.
        waviness: standard deviation of the displacement of the contour lines in µm.
    """

    def __init__(self, rng: np.random.Generator, waviness: float) -> None:
        angle = rng.uniform(0, np.pi)
        self._cos, self._sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        self._wide, self._narrow = SmoothNoise(rng, 110.0), SmoothNoise(rng, 24.0)
        self._waviness = waviness

    def grid(self, pixels: PixelGrid) -> tuple[Floats, Floats]:
        """(across, along) the fibres in µm, each (h, w)."""
        y, x = pixels.y[:, None], pixels.x[None, :]
        across = self._cos * y + self._sin * x + self._waviness * self._wide.grid(pixels)
        across += np.float32(0.13 * self._waviness) * self._narrow.grid(pixels)
        return across, self._cos * x - self._sin * y

    def at(self, y: Floats, x: Floats) -> Floats:
        """The coordinate across the fibres at points (n,), in µm."""
        across = self._cos * y + self._sin * x + self._waviness * self._wide.at(y, x)
        return np.asarray(across + 0.13 * self._waviness * self._narrow.at(y, x))

    def direction(self, y: Floats, x: Floats) -> Floats:
        """Direction of the fibres at points (n,) in radians."""
        dy = self.at(y + 2, x) - self.at(y - 2, x)
        dx = self.at(y, x + 2) - self.at(y, x - 2)
        return np.asarray(np.arctan2(dx, -dy), dtype=np.float32)


@dataclass(frozen=True)
class Fibres:
    """Texture of the collagen, each (h, w), mean about 0 and variance about 1.

    Attributes:
        bundle: coarse: thick bundles and the clefts between them.
        fibril: fine streaks within the bundles.
    """

    bundle: Floats
    fibril: Floats


def draw_fibres(rng: np.random.Generator, flow: Flow, depth: Floats, pixels: PixelGrid) -> Fibres:
    """Streaks along the flow, and around the glands along their borders.

    Args:
        rng: generator of this ingredient.
        flow: where the fibres run.
        depth: (h, w) µm inside the nearest gland, negative outside.
        pixels: the picture.
    """
    across, along = flow.grid(pixels)
    near = (depth < 2) & (depth > -45)
    weight = np.exp(np.minimum(depth[near] + 6, 0) / 12)
    textures = []
    for width, length in ((4.6, 60.0), (1.5, 24.0)):
        white = rng.standard_normal((_FIBRE_TABLE, _FIBRE_TABLE), dtype=np.float32)
        table = ndimage.gaussian_filter(white, 0.55, mode="wrap")
        table /= table.std()
        streaks = _lookup(table, across / width, along / length)
        around = _lookup(table, depth[near] / width, along[near] / length)
        streaks[near] = (1 - weight) * streaks[near] + weight * around
        textures.append(streaks)
    return Fibres(*textures)


def draw_strands(rng: np.random.Generator, flow: Flow, width: float, length: float, pixels: PixelGrid) -> Floats:
    """Blobs stretched along the flow, (h, w), mean 0 and variance about 1; `width` and `length` in µm."""
    across, along = flow.grid(pixels)
    table = SmoothNoise(rng, 1.0).grid(PixelGrid.of(Lattice.regular(Shape(256, 256), 1.0)))
    return _lookup(table, across / width, along / length)


def _lookup(table: Floats, row: Floats, column: Floats) -> Floats:
    """Bilinear values of a periodic table."""
    at = np.stack([row, column]).astype(np.float32, copy=False)
    return np.asarray(ndimage.map_coordinates(table, at, order=1, mode="grid-wrap", output=np.float32))


@dataclass(frozen=True)
class Fat:
    """Adipocytes, each map (h, w).

    Attributes:
        inside: 1 in fat tissue, 0 elsewhere (soft over a few µm).
        wall: 1 on the thin walls between the cells, 0 in the vacuoles.
    """

    inside: Floats
    wall: Floats


_FAT_CELL_UM = 52.0
_FAT_GRID_UM = 2.0


def draw_fat(rng: np.random.Generator, extent: Extent, amount: float, depth: Floats, pixels: PixelGrid) -> Fat:
    """Groups of adipocytes away from the glands: the Voronoi cells of a scattered set of points.

    Args:
        rng: generator of this ingredient.
        extent: the field in µm.
        amount: share of the field that would be fat without glands, 0 to 1.
        depth: (h, w) µm inside the nearest gland, negative outside.
        pixels: the picture.
    """
    region = SmoothNoise(rng, 105.0)
    cells = scatter(rng, extent, _FAT_CELL_UM, 0.8)
    fat = region.at(cells.y, cells.x) > special.ndtri(1 - amount)
    fat &= pixels.sample(depth, cells.y, cells.x) < -38
    if not fat.any():
        return Fat(np.zeros_like(depth), np.zeros_like(depth))
    # On its own grid of fixed pitch: the same cells at any pixel size, at the cost of the coarse grid only.
    shape = Shape(int(extent.h / _FAT_GRID_UM) + 2, int(extent.w / _FAT_GRID_UM) + 2)
    coarse = PixelGrid.of(Lattice.regular(shape, _FAT_GRID_UM))
    where = np.stack(np.meshgrid(coarse.y, coarse.x, indexing="ij"), axis=-1)
    distance, nearest = spatial.cKDTree(np.stack([cells.y, cells.x], axis=1)).query(where, k=2)
    gap = (0.5 * (distance[..., 1] - distance[..., 0])).astype(np.float32)
    # Signed, so that the border towards the stroma is a straight zero crossing and not a staircase of coarse cells.
    signed = np.where(fat[nearest[..., 0]], gap, np.where(fat[nearest[..., 1]], -gap, -10))
    # Blurring the vacuoles and cutting them again rounds the corners of the Voronoi polygons.
    vacuole = ndimage.gaussian_filter(np.clip(signed - 1.6, 0, 1), 1.6)
    signed, vacuole = pixels.enlarge(signed.astype(np.float32), coarse), pixels.enlarge(vacuole, coarse)
    inside = np.clip(signed + 1.0, 0, 1) * np.clip((-depth - 8) / 4, 0, 1)
    wall = np.clip((0.5 - vacuole) * 5 + 0.5, 0, 1)
    return Fat(inside, wall)
