"""From the mollified result to pixels: Wiener undo, grey values, pyramid; all in files, tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infbrush_wsi.canvas.state import StateArray, read_mirrored
from infbrush_wsi.domain import Box, Shape, tiles
from infbrush_wsi.fields.wiener import WienerInverse
from infbrush_wsi.writers.pyramid import MAX_LEVELS, halve

SMALLEST_LEVEL = 256
"""Sides in pixels below which a level is not halved any more."""


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
    return np.asarray(((np.clip(values, -1.0, 1.0) + 1.0) * 127.5).round(), np.uint8)


def resized(image: NDArray[np.uint8], size: Shape) -> NDArray[np.uint8]:
    """(h, w, C) at another size, antialiased."""
    # Not BOX: at a factor that is no whole number it gives some pixels twice the weight of others.
    method = Image.Resampling.HAMMING if size.w <= image.shape[1] else Image.Resampling.BICUBIC
    bands = [Image.fromarray(image[..., c]).resize((size.w, size.h), method) for c in range(image.shape[2])]
    return np.stack([np.asarray(band) for band in bands], axis=-1)


def pyramid_shapes(shape: Shape) -> tuple[Shape, ...]:
    """Level 0 and its halvings (rounded up), until both sides are at most `SMALLEST_LEVEL`; ten levels at most."""
    shapes = [shape]
    while max(shapes[-1].as_tuple()) > SMALLEST_LEVEL and len(shapes) < MAX_LEVELS:
        shapes.append(Shape(-(-shapes[-1].h // 2), -(-shapes[-1].w // 2)))
    return tuple(shapes)


def build_pyramid(level0: StateArray, shapes: Sequence[Shape], tile: int, folder: Path) -> list[StateArray]:
    """The levels of `shapes`: level 0 as it is, each further one the 2 x 2 means of the one before."""
    levels = [level0]
    for number, shape in enumerate(shapes[1:], start=1):
        levels.append(_halved(levels[-1], shape, tile, folder / f"level-{number}.raw"))
    return levels


def _halved(finer: StateArray, shape: Shape, tile: int, path: Path) -> StateArray:
    coarser = StateArray(path, shape, finer.channels, np.uint8)
    for box in tiles(shape, tile):
        doubled = Box(2 * box.x0, 2 * box.y0, 2 * box.w, 2 * box.h).clip(finer.shape)
        coarser.write(box, halve(finer.read(doubled).transpose(2, 0, 1)).transpose(1, 2, 0))
    return coarser
