"""A phantom aerial photograph of farm land in red, green, blue and near infrared."""

from __future__ import annotations

import math
import zlib

import numpy as np
from numpy.typing import NDArray
from scipy import spatial

from infbrush_wsi.domain import Extent, Lattice, Shape
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.phantom.land import Land, survey
from infbrush_wsi.phantom.plane import Floats, PixelGrid, Scatter, SmoothNoise, generator, scatter
from infbrush_wsi.phantom.scenery import ROOFS, Canvas, Houses, Trees, build, plant

BAND_NAMES = ("red", "green", "blue", "nir")
"""Descriptions of the bands, in order."""

_FINEST_USEFUL_M = 1.0
_LARGEST_CANVAS = 1 << 26

_CROPS = np.array(
    [
        [0.25, 0.41, 0.17, 0.86],  # cereals, green
        [0.19, 0.32, 0.16, 0.80],  # maize
        [0.36, 0.46, 0.24, 0.72],  # meadow
        [0.45, 0.50, 0.29, 0.64],  # dry pasture
        [0.66, 0.57, 0.39, 0.52],  # stubble
        [0.51, 0.40, 0.30, 0.38],  # bare soil
        [0.37, 0.30, 0.24, 0.30],  # ploughed, moist
    ],
    np.float32,
)
_CROP_SHARES = np.array([0.24, 0.17, 0.17, 0.1, 0.13, 0.11, 0.08])
_WATER = np.array([0.15, 0.22, 0.21, 0.015], np.float32)
_VERGE = np.array([0.34, 0.40, 0.22, 0.66], np.float32)
_LAWN = np.array([0.31, 0.42, 0.21, 0.74], np.float32)
_ASPHALT = np.array([0.50, 0.50, 0.51, 0.42], np.float32)
_DIRT = np.array([0.66, 0.58, 0.45, 0.50], np.float32)
_PAINT = np.array([0.86, 0.86, 0.84, 0.75], np.float32)
_LEAF = np.array([0.19, 0.30, 0.14, 0.80], np.float32)


def aerial_image(shape: Shape, resolution_m: float, seed: int, bands: int = 4) -> NDArray[np.uint8]:
    """An aerial photograph of fields, roads, water, trees and houses, deterministic in all its arguments.

    Near infrared is high over vegetation and near zero over water, so that an NDVI makes sense. All structures have
    physical sizes: the same seed and extent at another pixel size is the same country.

    Args:
        shape: rows and columns.
        resolution_m: pixel size in metres; beyond 1 m the picture is drawn finer and averaged.
        seed: selects the piece of country.
        bands: 3 (R, G, B) or 4 (R, G, B, NIR).

    Returns:
        uint8 (h, w, bands).

    Raises:
        ConfigError: if `bands` is neither 3 nor 4, or the seed is not an integer >= 0.
        RegionError: if the shape or pixel size is not positive, or the picture is too large to be drawn at once.
    """
    factor = _check(shape, resolution_m, bands)
    fine = Shape(shape.h * factor, shape.w * factor)
    lattice = Lattice.regular(fine, resolution_m / factor, "meter")
    picture = _paint(lattice.extent, PixelGrid.of(lattice), seed)[..., :bands]
    if factor > 1:
        picture = picture.reshape(shape.h, factor, shape.w, factor, bands).mean(axis=(1, 3))
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _check(shape: Shape, resolution_m: float, bands: int) -> int:
    """Refuse impossible requests; return how many times finer than asked the picture is drawn."""
    if bands not in (3, 4):
        raise ConfigError(f"an aerial phantom has 3 or 4 bands, not {bands!r}")
    if shape.h < 1 or shape.w < 1:
        raise RegionError(f"a phantom needs at least one pixel, not {shape}")
    if not (math.isfinite(resolution_m) and resolution_m > 0):
        raise RegionError(f"a pixel size must be positive (m), not {resolution_m!r}")
    factor = math.ceil(resolution_m / _FINEST_USEFUL_M)
    if shape.count * factor**2 > _LARGEST_CANVAS:
        raise RegionError(
            f"a phantom of {shape.h} x {shape.w} pixels of {resolution_m} m is drawn at once and needs too much "
            f"memory; ask for at most {_LARGEST_CANVAS // factor**2} pixels at this pixel size"
        )
    return factor


def _ingredient(seed: int, name: str) -> np.random.Generator:
    """Each ingredient has its own generator, so that adding one leaves the others as they were."""
    return generator(seed, 100, zlib.crc32(name.encode()))


def _paint(extent: Extent, pixels: PixelGrid, seed: int) -> Floats:
    """Reflectance times light, (h, w, 4), about 0 to 1."""

    def noise(name: str, scale: float) -> Floats:
        return SmoothNoise(_ingredient(seed, name), scale).grid(pixels)

    land = survey(_ingredient(seed, "land"), pixels)
    fine, coarse = noise("clods", 0.55), noise("soil", 22.0)
    colour = _fields(land, fine, coarse, noise("moisture", 70.0), pixels.spacing)
    _cover_water(colour, land, noise("waves", 2.2), pixels.spacing)
    _cover_roads(colour, land, fine, pixels.spacing)
    canvas = Canvas(colour, np.ones(pixels.shape, dtype=np.float32), pixels)
    village = SmoothNoise(_ingredient(seed, "village"), 130.0)
    houses = _houses(seed, extent, pixels, land, village)
    _cover_gardens(canvas, houses, fine)
    trees = _trees(seed, extent, pixels, land, houses)
    build(canvas, houses)
    plant(canvas, trees, noise("leaves", 0.9))
    picture: Floats = canvas.colour * canvas.light[..., None] + 0.008 * noise("sensor", 0.5)[..., None]
    return _through_air(picture)


def _through_air(picture: Floats) -> Floats:
    """Scattered light greys the visible bands and leaves the infrared as it is; in place."""
    visible = picture[..., :3]
    visible += np.float32(0.22) * (visible.mean(axis=2, keepdims=True) - visible)
    visible += np.array([0.015, 0.02, 0.03], np.float32)
    return picture


def _blend(colour: Floats, weight: Floats, over: Floats) -> None:
    """Lay one colour or map of colours over another in place; only where there is something to lay."""
    where = weight > 0
    colour[where] += weight[where][:, None] * ((over[where] if over.ndim == 3 else over) - colour[where])


def _fields(land: Land, fine: Floats, coarse: Floats, moisture: Floats, spacing: float) -> Floats:
    """Crops in rows, patchy by soil, with wheel tracks and grassy borders; (h, w, 4)."""
    luck = land.luck
    crop = np.searchsorted(np.cumsum(_CROP_SHARES), luck[:, 0] * 0.999)
    tone = _CROPS[crop] * (0.86 + 0.28 * luck[:, 1:2]) * (1 + 0.1 * (luck[:, 2:6] - 0.5))
    sown = np.where(crop == 2, 0.0, np.where(crop == 3, 0.3, 1.0)).astype(np.float32)
    lengthwise = luck[:, 6][land.field] < 0.75
    position = np.where(lengthwise, land.across, land.along)
    pitch = (2.2 + 2.4 * luck[:, 7])[land.field]
    # Rows finer than two pixels would alias; they fade out instead.
    shown = np.clip(pitch / (2 * spacing) - 0.8, 0, 1) * sown[land.field]
    rows = np.sin(position * (2 * np.pi) / pitch) * shown
    wheel = np.mod(position, 21.0)
    wheels = np.exp(-(((wheel - 1.0) / 0.7) ** 2)) + np.exp(-(((wheel - 3.2) / 0.7) ** 2))
    shade = 1 + 0.07 * rows + 0.07 * coarse + 0.07 * moisture + 0.05 * fine
    shade -= 0.13 * wheels * sown[land.field] * np.clip(2 - spacing, 0, 1)
    colour: Floats = tone.astype(np.float32)[land.field] * shade[..., None].astype(np.float32)
    verge = np.clip((1.6 + 0.5 * coarse - land.border) / 1.2 + 0.5, 0, 1).astype(np.float32)
    _blend(colour, verge, _VERGE)
    return colour


def _cover_water(colour: Floats, land: Land, waves: Floats, spacing: float) -> None:
    """Water with reedy banks, in place."""
    bank = np.clip((5.0 - land.bank) / 4, 0, 1).astype(np.float32) * 0.75
    _blend(colour, bank, _VERGE * np.float32(0.8))
    water = np.clip(-land.bank / max(spacing, 0.8) + 0.5, 0, 1).astype(np.float32)
    depth = np.clip(-land.bank / 9, 0, 1)
    _blend(colour, water, _WATER * (1.3 - 0.35 * depth + 0.035 * waves)[..., None])


def _cover_roads(colour: Floats, land: Land, fine: Floats, spacing: float) -> None:
    """Paved roads with a broken middle line, and dirt tracks with a grassy middle; they bridge the water."""
    soft = max(spacing, 0.4)
    track = np.clip((1.9 - land.track) / soft + 0.5, 0, 1) * (1 - 0.5 * np.exp(-((land.track / 0.5) ** 2)))
    _blend(colour, (0.9 * track * (land.bank > 1)).astype(np.float32), _DIRT)
    shoulder = np.clip((4.6 - land.road) / soft + 0.5, 0, 1).astype(np.float32)
    _blend(colour, 0.7 * shoulder, _DIRT * np.float32(0.9))
    paved = np.clip((3.4 - land.road) / soft + 0.5, 0, 1).astype(np.float32)
    _blend(colour, paved, _ASPHALT * (1 + 0.04 * fine)[..., None])
    dashes = (np.mod(land.along + land.across, 9.0) < 4.0) * np.clip((0.15 - land.road) / soft + 0.5, 0, 1)
    _blend(colour, (0.6 * dashes).astype(np.float32), _PAINT)


def _houses(seed: int, extent: Extent, pixels: PixelGrid, land: Land, village: SmoothNoise) -> Houses:
    """Houses of a village along the paved roads."""
    lots = scatter(_ingredient(seed, "houses"), extent, 27.0, 0.4)
    road = pixels.sample(land.road, lots.y, lots.x)
    dry = pixels.sample(land.bank, lots.y, lots.x) > 16
    lots = lots.keep((road > 13) & (road < 62) & dry & (village.at(lots.y, lots.x) > 0.15) & (lots.u[:, 0] < 0.85))
    u = lots.u
    angle = np.float32(land.turn) + np.where(u[:, 1] < 0.5, 0.0, np.pi / 2) + 0.12 * (u[:, 2] - 0.5)
    roof = np.minimum((u[:, 5] * 5).astype(np.int64), len(ROOFS) - 1)
    return Houses(lots.y, lots.x, 5.5 + 3.5 * u[:, 3], 3.8 + 1.6 * u[:, 4], angle.astype(np.float32), roof)


def _cover_gardens(canvas: Canvas, houses: Houses, fine: Floats) -> None:
    """A lawn around each house and a paved yard beside it, in place."""
    pixels = canvas.pixels
    for y, x, size, angle in zip(houses.y, houses.x, houses.length, houses.angle, strict=True):
        box = pixels.window(float(y), float(x), 25.0)
        south, east = pixels.y[box[0], None] - y, pixels.x[None, box[1]] - x
        dy, dx = np.cos(angle) * south - np.sin(angle) * east, np.cos(angle) * east + np.sin(angle) * south
        lawn = np.clip((16.5 - np.maximum(np.abs(dy), np.abs(dx))) / 2, 0, 0.95)
        _blend(canvas.colour[box], lawn, _LAWN * (1 + 0.06 * fine[box])[..., None])
        yard = np.clip((3.4 - np.maximum(np.abs(dy - size), np.abs(dx + size))) / 0.8 + 0.5, 0, 0.9)
        _blend(canvas.colour[box], yard, _ASPHALT * np.float32(1.15))


def _trees(seed: int, extent: Extent, pixels: PixelGrid, land: Land, houses: Houses) -> Trees:
    """Woods, hedges between some fields, trees along the water and in gardens."""
    spots = scatter(_ingredient(seed, "trees"), extent, 5.6, 0.9)
    road, bank = pixels.sample(land.road, spots.y, spots.x), pixels.sample(land.bank, spots.y, spots.x)
    border = pixels.sample(land.border, spots.y, spots.x)
    wood = SmoothNoise(_ingredient(seed, "woods"), 62.0).at(spots.y, spots.x) > 1.15
    hedge = (border < 3.0) & (SmoothNoise(_ingredient(seed, "hedges"), 75.0).at(spots.y, spots.x) > 0.35)
    river = (bank > 2) & (bank < 15) & (spots.u[:, 1] < 0.45)
    garden = _near_houses(spots, houses, 8.5, 19.0) & (spots.u[:, 1] < 0.2)
    grows = (wood | hedge | river | garden | (spots.u[:, 2] < 0.003)) & (road > 7.5) & (bank > 1.5)
    spots = spots.keep(grows & ~_near_houses(spots, houses, 0.0, 8.5))
    u = spots.u
    hue = np.array([0.26, 0.1, 0.03, 0.08], np.float32)
    colour = _LEAF * (0.75 + 0.5 * u[:, 3:4]) * (1 + hue * (u[:, 4:5] - 0.5))
    return Trees(spots.y, spots.x, 1.9 + 2.6 * u[:, 0] ** 1.4, colour.astype(np.float32), u[:, 5])


def _near_houses(spots: Scatter, houses: Houses, nearest: float, furthest: float) -> NDArray[np.bool_]:
    """Whether a spot's nearest house is between two distances (m)."""
    if not len(houses.y):
        return np.zeros(len(spots.y), dtype=bool)
    distance, _ = spatial.cKDTree(np.stack([houses.y, houses.x], axis=1)).query(np.stack([spots.y, spots.x], axis=1))
    return np.asarray((distance >= nearest) & (distance < furthest))
