"""The ground of an aerial phantom: fields, roads and water, as distances in a rotated and gently bent plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.phantom.plane import Floats, PixelGrid, SmoothNoise

_COLUMNS, _ROWS = 64, 32
_ROAD_EVERY = 3
_CROSS_ROAD_M = 560.0


@dataclass(frozen=True)
class Land:
    """Maps of the ground, each (h, w), lengths in metres.

    Attributes:
        along: coordinate along the long sides of the fields.
        across: coordinate across them.
        field: number of the field, an index of `luck`.
        border: distance to the field's border.
        road: distance to the middle of the nearest paved road.
        track: distance to the middle of the nearest dirt track.
        bank: distance to the water's edge, negative in the water.
        luck: (fields, 8) uniform in [0, 1): whatever differs between fields comes from a field's row.
        turn: direction of `across` in the picture, in radians.
    """

    along: Floats
    across: Floats
    field: NDArray[np.int64]
    border: Floats
    road: Floats
    track: Floats
    bank: Floats
    luck: Floats
    turn: float


def survey(rng: np.random.Generator, pixels: PixelGrid) -> Land:
    """Lay out a piece of country on the pixel centres of a picture (in metres)."""
    turn = float(rng.uniform(-0.6, 0.6))
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    y, x = pixels.y[:, None], pixels.x[None, :]
    bend_u, bend_v = SmoothNoise(rng, 210.0).grid(pixels), SmoothNoise(rng, 260.0).grid(pixels)
    # The offset keeps the coordinates positive, and differs between seeds.
    across = cos * x + sin * y + 9 * bend_u + np.float32(rng.uniform(2e3, 4e3))
    along = cos * y - sin * x + 7 * bend_v + np.float32(rng.uniform(2e3, 4e3))
    widths, heights = rng.uniform(70, 190, _COLUMNS), rng.uniform(110, 330, (_COLUMNS, _ROWS))
    column, to_column, edge = _strips(across, widths)
    row, to_row = np.zeros_like(column), np.empty_like(to_column)
    for k in np.unique(column):
        here = column == k
        row[here], to_row[here], _ = _strips(along[here], heights[k])
    paved = edge % _ROAD_EVERY == 0
    far = np.float32(1e3)
    cross = np.abs(np.mod(along, _CROSS_ROAD_M) - _CROSS_ROAD_M / 2)
    road = np.minimum(np.where(paved, to_column, far), cross)
    track = np.where(edge % _ROAD_EVERY == 1, to_column, far)
    border = np.minimum(np.minimum(to_column, to_row), cross)
    luck = rng.random((_COLUMNS * _ROWS, 8), dtype=np.float32)
    # Fields on both sides of the cross road are different ones although the strips know nothing of it.
    side = np.floor(along / _CROSS_ROAD_M + 0.5).astype(np.int64)
    field = (column * _ROWS + row + 7 * side) % len(luck)
    return Land(along, across, field, border, road, track, _river(rng, pixels), luck, turn)


def _strips(position: Floats, widths: NDArray[np.float64]) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """(strip, distance to its nearer edge, number of that edge) of positions along a periodic row of strips."""
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    inside = np.mod(position, np.float32(edges[-1]))
    strip = np.clip(np.searchsorted(edges, inside, side="right") - 1, 0, len(widths) - 1)
    left, right = inside - edges[strip], edges[strip + 1] - inside
    nearer = np.where(left < right, strip, (strip + 1) % len(widths))
    return strip, np.minimum(left, right).astype(np.float32), nearer


def _river(rng: np.random.Generator, pixels: PixelGrid) -> Floats:
    """Distance to the bank of a winding river that passes through the picture, and of a few ponds."""
    angle = rng.uniform(-0.5, 0.5) + (np.pi / 2 if rng.random() < 0.5 else 0.0)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    middle_y, middle_x = float(pixels.y.mean()), float(pixels.x.mean())
    wide, narrow = SmoothNoise(rng, 120.0), SmoothNoise(rng, 32.0)
    reach = 0.25 * min(len(pixels.y), len(pixels.x)) * pixels.spacing
    middle = (
        cos * (pixels.y[:, None] - middle_y)
        + sin * (pixels.x[None, :] - middle_x)
        + np.float32(rng.uniform(-reach, reach))
    )
    ripple = narrow.grid(pixels)
    course = middle + 34 * wide.grid(pixels) + 3 * ripple
    river = np.abs(course) / np.float32(1.15) - (9.0 + 2 * ripple)
    ponds = 42 * (1.9 - SmoothNoise(rng, 95.0).grid(pixels)) + 1.5 * ripple
    return np.asarray(np.minimum(river, ponds), dtype=np.float32)
