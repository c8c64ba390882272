"""Colours and stains: how far pixels would have to move for the distributions of their values to agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi._optional import require
from infbrush_wsi.metrics.features.protocol import check_images

BINS = 128
OD_OF_SKIMAGE = 6.0
"""scikit-image divides logarithms by that of a millionth; times this they are optical densities (base 10)."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Channel:
    """One quantity of a pixel and the range over which it is counted; what lies beyond counts at the ends."""

    name: str
    low: float
    high: float
    unit: str

    @property
    def width(self) -> float:
        """Of a bin."""
        return (self.high - self.low) / BINS


COLOUR = (Channel("L", 0, 100, "CIELAB"), Channel("a", -96, 96, "CIELAB"), Channel("b", -96, 96, "CIELAB"))
STAIN = (Channel("haematoxylin", 0, 2, "OD"), Channel("eosin", 0, 2, "OD"), Channel("residual", 0, 2, "OD"))


def colour_histograms(images: NDArray[np.uint8], *, stain: bool = True) -> Array:
    """Shares of pixels by CIELAB value and, for stained tissue, by optical density of each stain.

    Stains are separated with the matrix of Ruifrok and Johnston, as scikit-image has it.

    Args:
        images: uint8 (B, H, W, 3).
        stain: whether stains are counted too.

    Returns:
        float64 (B, C, 128), each row of sum 1; C is 3, or 6 with stains, in the order of `COLOUR` and `STAIN`.

    Raises:
        BandMismatchError: if the images are not uint8 RGB.
        MissingExtraError: if scikit-image is not installed.
    """
    check_images(images, name="colour statistics")
    color = require("skimage.color", extra="metrics", purpose="measure colours and stains")
    scaled = images.astype(np.float32) / 255
    values = [(color.rgb2lab(scaled), COLOUR)]
    if stain:
        values.append((color.separate_stains(scaled, color.hed_from_rgb) * OD_OF_SKIMAGE, STAIN))
    found = [_shares(planes, channels) for planes, channels in values]
    return np.concatenate(found, axis=1)


def colour_distances(real: Array, generated: Array) -> Mapping[str, Array]:
    """Wasserstein-1 distance of each channel, and the means over colours and over stains.

    Args:
        real: (R, C, 128), mean shares.
        generated: (R, C, 128).

    Returns:
        float64 (R,) by name: 'colour' in CIELAB units and, with stains, 'stain' in optical density; and each
        channel as 'colour_L', 'stain_eosin', ...
    """
    apart = np.abs(np.cumsum(real - generated, axis=2)).sum(axis=2)
    found: dict[str, Array] = {}
    for first, kind, channels in ((0, "colour", COLOUR), (3, "stain", STAIN)):
        if first >= real.shape[1]:
            continue
        each = {f"{kind}_{c.name}": apart[:, first + index] * c.width for index, c in enumerate(channels)}
        found |= {kind: np.mean(list(each.values()), axis=0)} | each
    return found


def channel_statistics(shares: Array) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each channel over all pixels.

    Args:
        shares: (B, C, 128).

    Returns:
        By channel name, in the channel's unit, as exact as a bin is wide.
    """
    mean = shares.mean(axis=0)
    found = {}
    for channel, row in zip((*COLOUR, *STAIN), mean, strict=False):
        values = channel.low + (np.arange(BINS) + 0.5) * channel.width
        centre = float(row @ values)
        found[channel.name] = (centre, float(np.sqrt(row @ (values - centre) ** 2)))
    return found


def _shares(planes: NDArray[np.floating], channels: tuple[Channel, ...]) -> Array:
    b, h, w, _ = planes.shape
    rows = []
    for index, channel in enumerate(channels):
        bins = ((planes[..., index] - channel.low) / channel.width).astype(np.int64).clip(0, BINS - 1)
        flat = bins.reshape(b, -1) + np.arange(b)[:, None] * BINS
        rows.append(np.bincount(flat.ravel(), minlength=b * BINS).reshape(b, BINS) / (h * w))
    return np.stack(rows, axis=1)
