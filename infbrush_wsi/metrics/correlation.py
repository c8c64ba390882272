"""The two-point correlation: how alike the luminance of two pixels is, by their distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.metrics.features.protocol import check_images
from infbrush_wsi.metrics.luminance import luminance
from infbrush_wsi.metrics.rings import ring_means

LEAST_SIDE = 16
MAX_LAG = 128
Array = NDArray[np.float64]


def lag_count(h: int, w: int) -> int:
    """Lags that are measured in images of this size: 0 to a half of the shorter side, 128 at most."""
    return min(MAX_LAG, min(h, w) // 2) + 1


def two_point_covariances(images: NDArray[np.uint8]) -> Array:
    """Covariance of the luminance of two pixels r apart, averaged over directions and places.

    The mean of each image is taken off; nothing is wrapped around: each lag is averaged over the pairs that exist.

    Args:
        images: uint8 (B, H, W, 3).

    Returns:
        float64 (B, L) with r = 0, 1, ..., L - 1 pixels, `lag_count` of them; r = 0 is the variance.

    Raises:
        BandMismatchError: if the images are not uint8 RGB.
        RegionError: if they are too small.
    """
    import scipy.fft

    check_images(images, name="two-point correlation", least_side=LEAST_SIDE)
    h, w = images.shape[1:3]
    lags = lag_count(h, w)
    shape = tuple(scipy.fft.next_fast_len(side + lags, real=True) for side in (h, w))
    plane = luminance(images)
    plane -= plane.mean(axis=(1, 2), keepdims=True)
    products = scipy.fft.irfft2(np.abs(scipy.fft.rfft2(plane, shape)) ** 2, shape)
    dy, dx = (np.minimum(np.arange(side), side - np.arange(side)) for side in shape)
    pairs = np.maximum(h - dy, 0)[:, None] * np.maximum(w - dx, 0)[None]
    ring = np.rint(np.hypot(dy[:, None], dx[None])).astype(np.int64)
    covariance = products / np.maximum(pairs, 1)
    # All pairs of a ring count alike, so lags with many pairs count for more.
    return ring_means(covariance, ring, lags, pairs.astype(np.float64))


def correlation_distances(real: Array, generated: Array) -> Array:
    """Root mean square difference of two correlation functions over lags that are spaced evenly in log r.

    Args:
        real: (R, L), mean covariances.
        generated: (R, L).

    Returns:
        float64 (R,), between 0 (equal) and about 1.
    """
    steps = np.unique(np.rint(np.geomspace(1, real.shape[1] - 1, 24)).astype(int))
    one, two = (values / np.maximum(values[:, :1], np.finfo(np.float64).tiny) for values in (real, generated))
    return np.asarray(np.sqrt(np.square(one[:, steps] - two[:, steps]).mean(axis=1)))
