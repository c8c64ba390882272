"""Averages over rings around a point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ring_means(
    planes: NDArray[np.floating], ring: NDArray[np.int64], count: int, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Mean of each plane over the pixels of each ring.

    Args:
        planes: (B, h, w).
        ring: (h, w), index of the ring of each pixel; those from `count` on are left out.
        count: rings.
        weights: (h, w), how much each pixel counts.

    Returns:
        float64 (B, count), 0 for rings without pixels.
    """
    inside = ring < count
    index = ring[inside]
    much = np.ones(len(index)) if weights is None else weights[inside]
    total = np.bincount(index, much, minlength=count)
    sums = [np.bincount(index, plane[inside] * much, minlength=count) for plane in planes]
    return np.stack(sums) / np.maximum(total, np.finfo(np.float64).tiny)
