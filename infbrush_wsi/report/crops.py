"""Choosing what part of an image is shown: by one rule for real and generated ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infbrush_wsi.report.content import Picture, Side

CANDIDATES = 5
"""Windows tried along each axis."""
WHITE = 255


def side_of(pixels: Picture, caption: str, *, whole: int, crop: int) -> Side:
    """A reduced picture of `pixels` and a crop at full resolution.

    Args:
        pixels: uint8 (h, w, C).
        caption: what it is.
        whole: longer side of the reduced picture.
        crop: side of the crop in pixels.
    """
    rgb = to_rgb(pixels)
    y0, x0 = densest(rgb, crop)
    return Side(reduced(rgb, whole), rgb[y0 : y0 + crop, x0 : x0 + crop], caption)


def densest(pixels: Picture, side: int) -> tuple[int, int]:
    """(row, column) of the window with the darkest mean, of a regular set of windows: the one with most stain."""
    rows, columns = (_starts(length, side) for length in pixels.shape[:2])
    grey = pixels.mean(axis=-1)
    means = {(y, x): float(grey[y : y + side, x : x + side].mean()) for y in rows for x in columns}
    return min(means, key=lambda corner: means[corner])


def _starts(length: int, side: int) -> list[int]:
    return sorted({int(v) for v in np.linspace(0, max(0, length - side), CANDIDATES).round()})


def reduced(pixels: Picture, longest: int) -> Picture:
    """The picture with its longer side at most `longest` pixels."""
    factor = max(pixels.shape[:2]) / longest
    if factor <= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] / factor)), max(1, round(pixels.shape[0] / factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def to_rgb(pixels: NDArray[np.uint8]) -> Picture:
    """Three bands: of more the first three, of fewer the first one three times."""
    chosen = pixels[..., :3] if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    return np.ascontiguousarray(chosen)


def framed(pixels: Picture, shape: tuple[int, int]) -> Picture:
    """The picture in the middle of a white frame of `shape`; larger pictures are cut in the middle."""
    out = np.full((*shape, 3), WHITE, np.uint8)
    h, w = (min(a, b) for a, b in zip(pixels.shape[:2], shape, strict=True))
    y, x = (shape[0] - h) // 2, (shape[1] - w) // 2
    v, u = (pixels.shape[0] - h) // 2, (pixels.shape[1] - w) // 2
    out[y : y + h, x : x + w] = pixels[v : v + h, u : u + w]
    return out
