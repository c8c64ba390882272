"""Handwriting-like digits without a download: Pillow's own font, distorted and blurred at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from infbrush_wsi.errors import ConfigError

DRAWN = 4
"""Pixels of the drawing per pixel of the image."""


def digit_images(count: int, side: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """White digits on black, each turned, sheared, scaled, shifted and blurred by its own amounts.

    Args:
        count: of images; number i is the same for every count.
        side: of an image in pixels, at least 8; a digit is the same picture at every side.
        seed: of the amounts.

    Returns:
        images float32 (count, side, side) in [-1, 1], and digits int64 (count,).

    Raises:
        ConfigError: for a side below 8 or above 1024.
    """
    if not 8 <= side <= 1024:
        raise ConfigError(f"digits can be drawn on 8 to 1024 pixels a side, not {side}")
    drawn = [_digit(np.random.default_rng([seed, i]), side) for i in range(count)]
    images = np.stack([image for image, _ in drawn]) if drawn else np.empty((0, side, side))
    return np.asarray(images / 127.5 - 1.0, np.float32), np.array([digit for _, digit in drawn], np.int64)


def _digit(rng: np.random.Generator, side: int) -> tuple[NDArray[np.uint8], int]:
    digit, large = int(rng.integers(10)), DRAWN * side
    size, turn, shear = rng.uniform(0.62, 0.85), np.radians(rng.uniform(-14, 14)), rng.uniform(-0.25, 0.25)
    stretch, shift = rng.uniform(0.8, 1.15), rng.uniform(-0.05, 0.05, 2) * large
    blur, bold = rng.uniform(0.006, 0.014) * large, rng.uniform(0.0, 0.02) * large
    canvas = Image.new("L", (large, large))
    font = ImageFont.load_default(size * large)
    centre = large / 2
    ImageDraw.Draw(canvas).text((centre, centre), str(digit), 255, font, anchor="mm", stroke_width=round(bold))
    # Pillow wants the map from the new picture to the old one.
    linear = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    linear = linear @ np.array([[1.0, shear], [0.0, 1.0]]) / np.array([[stretch], [1.0]])
    offset = centre - linear @ (centre + shift)
    values = (*linear[0], offset[0], *linear[1], offset[1])
    moved = canvas.transform((large, large), Image.Transform.AFFINE, values, Image.Resampling.BILINEAR)
    soft = moved.filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(soft.resize((side, side), Image.Resampling.BOX)), digit
