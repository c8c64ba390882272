"""Levels of a pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from affine import Affine

from infbrush_wsi.domain import Lattice, Shape


@dataclass(frozen=True)
class Level:
    """One resolution of a pyramid.

    Attributes:
        index: 0 is the finest.
        lattice: its pixels in physical space.
        downsample: width of its pixels in level-0 pixels, 1.0 for level 0.
    """

    index: int
    lattice: Lattice
    downsample: float


def levels_of(lattice: Lattice, shapes: Sequence[Shape], downsamples: Sequence[float]) -> tuple[Level, ...]:
    """Levels with a common corner: cells of `downsamples` level-0 pixels (both per level, the first is level 0)."""
    made = []
    for index, (shape, factor) in enumerate(zip(shapes, downsamples, strict=True)):
        transform = lattice.transform @ Affine.scale(factor)
        made.append(Level(index, Lattice(shape, transform, lattice.unit, lattice.crs), float(factor)))
    return tuple(made)
