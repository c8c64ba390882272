"""What is to be filled, from however it is given: a box, an array, a picture, or areas in GeoJSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from infbrush_wsi.canvas.holes import Hole
from infbrush_wsi.canvas.spec import whole_pair
from infbrush_wsi.conditioning.layout.areas import Area
from infbrush_wsi.conditioning.layout.features import read_features, read_text
from infbrush_wsi.domain import Box, centres, tiles
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.sources.lazy import LazyRegion

MaskUnit = Literal["pixel", "crs"]
GEOJSON = (".geojson", ".json")
MOST_PIXELS = 1 << 26
BAND = 1024


def hole_from(mask: Sequence[int] | NDArray[np.bool_] | str | Path, part: LazyRegion, unit: MaskUnit = "pixel") -> Hole:
    """The hole of a region, in pixels of its level.

    Args:
        mask: (x, y, w, h) in level-0 pixels; bool (h, w) of the region's size; a picture of that size, not black where
            it is to be filled; or a GeoJSON file of areas.
        part: the region.
        unit: of GeoJSON coordinates: 'pixel' of level 0 or 'crs'.

    Raises:
        RegionError: if it lies outside the region, has another size, or is too large.
        ConditionError: if a GeoJSON file cannot be used.
        ConfigError: for an unknown unit or a file that is no picture.
    """
    if unit not in get_args(MaskUnit):
        raise ConfigError(f"the mask's coordinates can be in {' or '.join(get_args(MaskUnit))}, not {unit!r}")
    if isinstance(mask, str | Path):
        return _of_areas(Path(mask), part, unit) if Path(mask).suffix.lower() in GEOJSON else _of_picture(mask, part)
    if isinstance(mask, np.ndarray) and mask.ndim == 2:
        return _of_array(mask, part, "the mask")
    return _of_box(mask, part)


def _of_box(given: Sequence[int] | NDArray[np.bool_], part: LazyRegion) -> Hole:
    if len(given) != 4:
        raise RegionError(f"a mask's box must be (x, y, w, h) in whole level-0 pixels, not {given!r}")
    (x, y), (w, h) = whole_pair(given[:2], "a mask's corner"), whole_pair(given[2:], "a mask's size")
    to_pixels = _from_level0(part)
    x0, y0 = (round(value) for value in to_pixels @ (x, y))
    x1, y1 = (round(value) for value in to_pixels @ (x + w, y + h))
    asked = Box(x0, y0, x1 - x0, y1 - y0)
    if asked.empty or asked.intersect(part.box) != asked:
        raise RegionError(f"the mask ({x}, {y}, {w}, {h}) (x, y, w, h) is empty or reaches outside the region")
    return Hole(_bounded(asked), np.ones((asked.h, asked.w), bool))


def _of_array(values: NDArray[np.generic], part: LazyRegion, what: str) -> Hole:
    if values.shape != part.shape[:2]:
        h, w, _ = part.shape
        raise RegionError(
            f"{what} has {values.shape[1]} x {values.shape[0]} pixels, the region {w} x {h}; "
            "they must be the same (see --region and --level)"
        )
    return Hole(_bounded(part.box), np.asarray(values, bool))


def _of_picture(path: str | Path, part: LazyRegion) -> Hole:
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise RegionError(f"the mask {path} has more than {MOST_PIXELS} pixels; choose a smaller region")
            values: NDArray[np.bool_] = np.asarray(np.asarray(picture.convert("RGB")).any(axis=2))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ConfigError(
            f"cannot read the mask {path}: {error}; give x,y,w,h, a black and white picture, or GeoJSON"
        ) from error
    return _of_array(values, part, f"the mask {path}")


def _of_areas(path: Path, part: LazyRegion, unit: MaskUnit) -> Hole:
    """Pixels whose centres are in an area or on its border; what lies beyond the region is cut off."""
    if unit == "crs" and part.lattice.crs is None:
        raise RegionError(f"{part.source.path} has no CRS; give the mask in pixels of level 0")
    whole: Affine = part.lattice.transform @ Affine.translation(-part.box.x0, -part.box.y0)
    to_pixels: Affine = ~whole if unit == "crs" else _from_level0(part)
    found: list[tuple[Box, Area]] = []
    for feature in read_features(read_text(path), str(path)):
        for rings in feature.polygons:
            moved = [_moved(ring, to_pixels) for ring in rings]
            low, high = np.floor(moved[0].min(axis=0)), np.ceil(moved[0].max(axis=0))
            low, high = np.clip(low, -(2**40), 2**40), np.clip(high, -(2**40), 2**40)
            box = Box(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])).intersect(part.box)
            if not box.empty:
                found.append((box, Area.of(moved)))
    if not found:
        raise RegionError(f"no area of {path} lies in the region; are its coordinates {unit}s of this image?")
    x0, y0 = min(box.x0 for box, _ in found), min(box.y0 for box, _ in found)
    around = _bounded(Box(x0, y0, max(b.x1 for b, _ in found) - x0, max(b.y1 for b, _ in found) - y0))
    inside = np.zeros((around.h, around.w), bool)
    for box, area in found:
        _paint(inside, box.relative_to(around), around, area)
    return Hole(around, inside)


def _paint(inside: NDArray[np.bool_], box: Box, around: Box, area: Area) -> None:
    for tile in tiles(box.shape, BAND):
        at = Box(box.x0 + tile.x0, box.y0 + tile.y0, tile.w, tile.h)
        x, y = np.meshgrid(centres(around.x0 + at.x0, at.w), centres(around.y0 + at.y0, at.h))
        inside[at.slices] |= area.covers(x.ravel(), y.ravel()).reshape(at.h, at.w)


def _moved(ring: NDArray[np.float64], to_pixels: Affine) -> NDArray[np.float64]:
    t = to_pixels
    return np.asarray(ring @ np.array([[t.a, t.d], [t.b, t.e]]) + np.array([t.c, t.f]))


def _from_level0(part: LazyRegion) -> Affine:
    """Level-0 pixels of the source → pixels of the level that the region's box is in."""
    whole: Affine = part.lattice.transform @ Affine.translation(-part.box.x0, -part.box.y0)
    to_pixels: Affine = ~whole @ part.source.lattice.transform
    return to_pixels


def _bounded(box: Box) -> Box:
    if box.w * box.h > MOST_PIXELS:
        raise RegionError(
            f"the mask spans {box.w} x {box.h} pixels, at most {MOST_PIXELS} are held at once; fill it in several calls"
        )
    return box
