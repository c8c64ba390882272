"""OME-Zarr's multiscales metadata as lattices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affine import Affine

from infbrush_wsi.domain import MICROMETERS_PER_UNIT, XY, Lattice, Shape
from infbrush_wsi.errors import CorruptSourceError, UnsupportedSourceError
from infbrush_wsi.sources.level import Level

TO_MICROMETERS = {"nanometer": 1e-3, "angstrom": 1e-4, "inch": 25400.0}
"""OME length units that the package does not carry; they become micrometres."""


@dataclass(frozen=True)
class Axes:
    """Positions of the axes in the arrays; c is None where there is no channel axis."""

    x: int
    y: int
    c: int | None
    unit: str

    def channels(self, shape: Sequence[int]) -> int:
        """Number of channels of an array of `shape`."""
        return 1 if self.c is None else shape[self.c]


def axes_of(multiscale: Mapping[str, Any], path: str) -> Axes:
    """Find the axes.

    Raises:
        UnsupportedSourceError: if x or y is missing, or they have different units.
    """
    axes = multiscale["axes"]
    names = [str(axis["name"] if isinstance(axis, Mapping) else axis).lower() for axis in axes]
    if "x" not in names or "y" not in names:
        raise UnsupportedSourceError(f"{path} has the axes {names}: an image needs x and y")
    x, y = names.index("x"), names.index("y")
    units = {str(axes[i].get("unit") or "pixel") if isinstance(axes[i], Mapping) else "pixel" for i in (x, y)}
    if len(units) > 1:
        raise UnsupportedSourceError(f"{path} measures x and y in different units: {', '.join(sorted(units))}")
    return Axes(x, y, names.index("c") if "c" in names else None, units.pop())


def check_planes(shapes: Sequence[Sequence[int]], axes: Axes, path: str) -> None:
    """Refuse stacks.

    Raises:
        UnsupportedSourceError: if an axis other than c, y, x is longer than 1.
        CorruptSourceError: if an array has another number of dimensions than there are axes.
    """
    used = {axes.x, axes.y, axes.c}
    for shape in shapes:
        if len(shape) <= max(axis for axis in used if axis is not None):
            raise CorruptSourceError(f"{path} has an array of shape {tuple(shape)} that does not fit its axes")
        if any(size != 1 for axis, size in enumerate(shape) if axis not in used):
            raise UnsupportedSourceError(
                f"{path} has the shape {tuple(shape)}: only images with one time and one z plane can be read"
            )


def levels_of_multiscale(
    multiscale: Mapping[str, Any], axes: Axes, shapes: Sequence[Sequence[int]], base: Lattice | None
) -> tuple[Level, ...]:
    """The pyramid.

    Args:
        multiscale: one entry of `multiscales`.
        axes: of its arrays.
        shapes: of its arrays, finest first.
        base: level 0, where something better than OME's metadata gives it (a CRS, the caller's mpp).
    """
    scales, corners = _scales_and_corners(multiscale, axes)
    level0 = base or _base(axes, scales[0], corners[0], Shape(shapes[0][axes.y], shapes[0][axes.x]))
    levels = []
    for index, shape in enumerate(shapes):
        fx, fy = scales[index].x / scales[0].x, scales[index].y / scales[0].y
        shift = Affine.translation(
            (corners[index].x - corners[0].x) / scales[0].x, (corners[index].y - corners[0].y) / scales[0].y
        )
        transform = level0.transform @ shift @ Affine.scale(fx, fy)
        lattice = Lattice(Shape(shape[axes.y], shape[axes.x]), transform, level0.unit, level0.crs)
        levels.append(Level(index, lattice, fx))
    return tuple(levels)


def _base(axes: Axes, scale: XY, corner: XY, shape: Shape) -> Lattice:
    factor = TO_MICROMETERS.get(axes.unit, 1.0)
    unit = "micrometer" if axes.unit in TO_MICROMETERS else axes.unit
    if unit not in MICROMETERS_PER_UNIT and unit != "degree":
        return Lattice(shape, Affine.identity(), "pixel")
    transform = Affine.translation(factor * corner.x, factor * corner.y) @ Affine.scale(
        factor * scale.x, factor * scale.y
    )
    return Lattice(shape, transform, unit)


def _scales_and_corners(multiscale: Mapping[str, Any], axes: Axes) -> tuple[list[XY], list[XY]]:
    """Pixel sizes and corners of the levels in the unit of the axes.

    OME's translation places the *centre* of the first pixel. Where level 0 has none, its corner is put at the
    origin, as on a slide; where a level has none, its corner is that of level 0: that is what is meant.
    """
    outer = multiscale.get("coordinateTransformations")
    per_axis = []
    for axis in (axes.x, axes.y):
        outer_scale, outer_shift = _scale_and_shift(outer, axis)
        rows = []
        for dataset in multiscale["datasets"]:
            scale, shift = _scale_and_shift(dataset.get("coordinateTransformations"), axis)
            placed = None if shift is None and outer_shift is None else (shift or 0.0) * outer_scale
            rows.append((scale * outer_scale, None if placed is None else placed + (outer_shift or 0.0)))
        first_scale, first_shift = rows[0]
        corner0 = 0.0 if first_shift is None else first_shift - first_scale / 2
        frame = first_scale / 2 if first_shift is None else 0.0
        corners = [corner0] + [corner0 if t is None else t - s / 2 + frame for s, t in rows[1:]]
        per_axis.append(([s for s, _ in rows], corners))
    (sx, cx), (sy, cy) = per_axis
    return [XY(*pair) for pair in zip(sx, sy, strict=True)], [XY(*pair) for pair in zip(cx, cy, strict=True)]


def _scale_and_shift(entries: Any, axis: int) -> tuple[float, float | None]:
    scale, shift = 1.0, None
    for entry in entries or ():
        if entry["type"] == "scale":
            scale *= float(entry["scale"][axis])
        elif entry["type"] == "translation":
            shift = (shift or 0.0) + float(entry["translation"][axis])
    if not (math.isfinite(scale) and scale > 0) or (shift is not None and not math.isfinite(shift)):
        raise ValueError(f"a pixel size of {scale} at {shift}")
    return scale, shift
