"""From the mollified result to pixels: Wiener undo, grey values, pyramid; all in files, tile by tile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.canvas.state import StateArray, read_mirrored
from infbrush_wsi.domain import Box, Shape, tiles
from infbrush_wsi.fields.wiener import WienerInverse
from infbrush_wsi.writers.pyramid import halve


def sharpen(clean: StateArray, sigma_px: float, tile: int, path: Path) -> StateArray:
    """Undo the mollifier and convert to grey values.

    Args:
        clean: T x_0 in [-1, 1], float32.
        sigma_px: standard deviation of T in pixels of `clean`.
        tile: side of the windows that are worked on.
        path: of the new file.

    Returns:
        uint8 (h, w, C).
    """
    inverse = WienerInverse(sigma_px=sigma_px)
    picture = StateArray(path, clean.shape, clean.channels, np.uint8)
    for box in tiles(clean.shape, tile):
        window = read_mirrored(clean, box.pad(inverse.reach))
        picture.write(box, to_grey(inverse.apply(window)))
    return picture


def to_grey(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """[-1, 1] → 0..255, rounded, clipped."""
    return ((np.clip(values, -1.0, 1.0) + 1.0) * 127.5).round().astype(np.uint8)


def build_pyramid(level0: StateArray, tile: int, smallest: int, folder: Path) -> list[StateArray]:
    """Level 0 and its halvings by 2 x 2 means, until both sides are at most `smallest`."""
    levels = [level0]
    while max(levels[-1].shape.as_tuple()) > smallest:
        levels.append(_halved(levels[-1], tile, folder / f"level-{len(levels)}.raw"))
    return levels


def _halved(finer: StateArray, tile: int, path: Path) -> StateArray:
    shape = Shape(-(-finer.shape.h // 2), -(-finer.shape.w // 2))
    coarser = StateArray(path, shape, finer.channels, np.uint8)
    for box in tiles(shape, tile):
        doubled = Box(2 * box.x0, 2 * box.y0, 2 * box.w, 2 * box.h).clip(finer.shape)
        coarser.write(box, halve(finer.read(doubled).transpose(2, 0, 1)).transpose(1, 2, 0))
    return coarser
