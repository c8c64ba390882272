"""How power is spread over spatial frequencies, averaged over directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.metrics.features.protocol import check_images
from infbrush_wsi.metrics.luminance import luminance
from infbrush_wsi.metrics.rings import ring_means

RINGS = 32
"""Rings of equal width from 0 to 0.5 cycles per pixel."""
LEAST_SIDE = 2 * RINGS
Array = NDArray[np.float64]


def frequencies() -> Array:
    """Middle of each ring in cycles per pixel: float64 (32,)."""
    return np.asarray((np.arange(RINGS) + 0.5) * (0.5 / RINGS), dtype=np.float64)


def power_spectra(images: NDArray[np.uint8]) -> Array:
    """Power of the luminance in rings of spatial frequency, under a Hann window, without the mean.

    Args:
        images: uint8 (B, H, W, 3), at least 64 pixels a side.

    Returns:
        float64 (B, 32), mean squared amplitude per unit of frequency, in squared luminance (0 to 1) x pixels².

    Raises:
        BandMismatchError: if the images are not uint8 RGB.
        RegionError: if they are too small.
    """
    import scipy.fft

    check_images(images, name="power spectrum", least_side=LEAST_SIDE)
    h, w = images.shape[1:3]
    window = np.hanning(h + 2)[1:-1, None] * np.hanning(w + 2)[None, 1:-1]
    plane = luminance(images)
    # The weighted mean is taken off: a step at the window's border is what would be seen otherwise.
    plane = (plane - (plane * window).sum(axis=(1, 2), keepdims=True) / window.sum()) * window
    power = np.abs(scipy.fft.rfft2(plane)) ** 2 / np.square(window).sum()
    radius = np.hypot(scipy.fft.fftfreq(h)[:, None], scipy.fft.rfftfreq(w)[None])
    ring = np.floor(radius / 0.5 * RINGS).astype(np.int64)
    # The half plane of a real transform counts twice but for its first and, for even widths, last column.
    twice = np.full(power.shape[-1], 2.0)
    twice[0] = 1.0
    twice[w // 2 :] = 1.0 if w % 2 == 0 else 2.0
    return ring_means(power, ring, RINGS, np.broadcast_to(twice, ring.shape))


def spectrum_distances(real: Array, generated: Array) -> Array:
    """Root mean square over rings of the difference in decibels of two mean spectra.

    Args:
        real: (R, 32), mean power.
        generated: (R, 32).

    Returns:
        float64 (R,), in dB: 0 for equal spectra, 3 where power is off by a factor of two everywhere.
    """
    floor = np.finfo(np.float64).tiny
    decibels = 10 * (np.log10(np.maximum(generated, floor)) - np.log10(np.maximum(real, floor)))
    return np.asarray(np.sqrt(np.square(decibels).mean(axis=1)))
