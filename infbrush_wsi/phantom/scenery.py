"""What stands on the ground of an aerial phantom: trees and houses, with the shadows that they cast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infbrush_wsi.phantom.plane import Floats, PixelGrid

SUN = (0.62, 0.78)
"""Where shadows fall, (y, x) per metre of height: towards the lower right, as in a morning picture with north up."""

ROOFS = np.array(
    [[0.60, 0.31, 0.23, 0.40], [0.50, 0.27, 0.22, 0.36], [0.40, 0.41, 0.44, 0.36], [0.76, 0.74, 0.70, 0.60]], np.float32
)
"""Reflectance (R, G, B, NIR) of roofs: two reds of tile, slate, light sheet metal."""


@dataclass(frozen=True)
class Canvas:
    """What is painted on.

    Attributes:
        colour: (h, w, 4) reflectance in R, G, B, NIR.
        light: (h, w) 1 in the sun, less in shadows.
        pixels: positions in metres.
    """

    colour: Floats
    light: Floats
    pixels: PixelGrid


@dataclass(frozen=True)
class Trees:
    """Round crowns; every array has n rows, lengths are in metres.

    Attributes:
        y: centre.
        x: centre.
        radius: of the crown; the tree is about twice as high.
        colour: (n, 4) reflectance.
        phase: uniform in [0, 1): shape of the crown's outline.
    """

    y: Floats
    x: Floats
    radius: Floats
    colour: Floats
    phase: Floats


@dataclass(frozen=True)
class Houses:
    """Rectangular houses with gable roofs; every array has n rows, lengths are in metres.

    Attributes:
        y: centre.
        x: centre.
        length: half the length along the ridge.
        width: half the width across it.
        angle: direction of the ridge in radians.
        roof: index of ``ROOFS``.
    """

    y: Floats
    x: Floats
    length: Floats
    width: Floats
    angle: Floats
    roof: np.ndarray[tuple[int], np.dtype[np.int64]]


def plant(canvas: Canvas, trees: Trees, leaves: Floats) -> None:
    """Paint trees in place: all shadows, then the crowns, small ones first so that the tall overhang.

    Args:
        canvas: what is painted on.
        trees: the trees.
        leaves: (h, w) texture of mean 0 that mottles the crowns.
    """
    for k in range(len(trees.y)):
        height = 1.3 * trees.radius[k]
        _shade(canvas, trees.y[k] + SUN[0] * height, trees.x[k] + SUN[1] * height, float(trees.radius[k]))
    for k in np.argsort(trees.radius, kind="stable"):
        _crown(canvas, trees, int(k), leaves)


def _shade(canvas: Canvas, y: float, x: float, radius: float) -> None:
    """A round soft-edged shadow."""
    pixels = canvas.pixels
    box = pixels.window(y, x, radius + 2 * pixels.spacing)
    distance = np.hypot(pixels.y[box[0], None] - y, pixels.x[None, box[1]] - x)
    shadow = np.clip((radius - distance) / max(pixels.spacing, 0.5) + 0.5, 0, 1)
    np.minimum(canvas.light[box], 1 - 0.52 * shadow, out=canvas.light[box])


def _crown(canvas: Canvas, trees: Trees, k: int, leaves: Floats) -> None:
    """A lobed dome, lit from where the shadows point away."""
    pixels, radius = canvas.pixels, float(trees.radius[k])
    box = pixels.window(float(trees.y[k]), float(trees.x[k]), 1.25 * radius + 2 * pixels.spacing)
    dy, dx = pixels.y[box[0], None] - trees.y[k], pixels.x[None, box[1]] - trees.x[k]
    distance = np.hypot(dy, dx) + 1e-6
    c, s = dx / distance, dy / distance
    turn = 2 * np.pi * float(trees.phase[k])
    lobes = 0.09 * np.cos(turn) * (4 * c * c - 3) * c + 0.09 * np.sin(turn) * (3 - 4 * s * s) * s
    outline = radius * (1 + lobes + 0.1 * leaves[box])
    cover = np.clip((outline - distance) / max(pixels.spacing, 0.5) + 0.5, 0, 1)
    lit = 1 - 0.42 * (dy * SUN[0] + dx * SUN[1]) / radius + 0.19 * leaves[box]
    crown = trees.colour[k] * np.clip(lit, 0.3, 1.8)[..., None]
    canvas.colour[box] += cover[..., None] * (crown - canvas.colour[box])
    canvas.light[box] += cover * (1 - canvas.light[box])


def build(canvas: Canvas, houses: Houses) -> None:
    """Paint houses in place: all shadows, then the roofs, the slope towards the sun brighter than the other."""
    for k in range(len(houses.y)):
        for step in np.linspace(0, 4.5, 6):
            box, u, v = _house_frame(canvas.pixels, houses, k, SUN[0] * step, SUN[1] * step)
            shadow = _inside(u, v, houses, k, canvas.pixels.spacing)
            np.minimum(canvas.light[box], 1 - 0.55 * shadow, out=canvas.light[box])
    for k in range(len(houses.y)):
        box, u, v = _house_frame(canvas.pixels, houses, k, 0.0, 0.0)
        cover = _inside(u, v, houses, k, canvas.pixels.spacing)
        across = np.cos(houses.angle[k]) * SUN[0] - np.sin(houses.angle[k]) * SUN[1]
        tilt = np.clip(v / 0.4, -1, 1) * np.sign(across)
        tiles = 1 + 0.03 * np.sin(u * np.float32(2 * np.pi / 2.2))
        roof = ROOFS[houses.roof[k]] * ((1 - 0.2 * tilt) * tiles)[..., None]
        canvas.colour[box] += cover[..., None] * (roof - canvas.colour[box])
        canvas.light[box] += cover * (1 - canvas.light[box])


def _house_frame(
    pixels: PixelGrid, houses: Houses, k: int, shift_y: float, shift_x: float
) -> tuple[tuple[slice, slice], Floats, Floats]:
    """The window around a (shifted) house and the coordinates (along, across) its ridge there, in metres."""
    y, x = float(houses.y[k]) + shift_y, float(houses.x[k]) + shift_x
    box = pixels.window(y, x, float(np.hypot(houses.length[k], houses.width[k])) + 2 * pixels.spacing)
    dy, dx = pixels.y[box[0], None] - np.float32(y), pixels.x[None, box[1]] - np.float32(x)
    cos, sin = np.float32(np.cos(houses.angle[k])), np.float32(np.sin(houses.angle[k]))
    return box, cos * dx + sin * dy, cos * dy - sin * dx


def _inside(u: Floats, v: Floats, houses: Houses, k: int, spacing: float) -> Floats:
    """0 to 1: how much of each pixel the house covers."""
    gap = np.minimum(houses.length[k] - np.abs(u), houses.width[k] - np.abs(v))
    return np.asarray(np.clip(gap / spacing + 0.5, 0, 1), dtype=np.float32)
