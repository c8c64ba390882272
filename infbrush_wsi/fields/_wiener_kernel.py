"""The Wiener inverse as plain sums in a fixed order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.fields._compiled import compiled


@compiled
def convolve_valid(planes: NDArray[np.float32], kernel: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Sums ``out[c, i, j] = Σ kernel[a, b] planes[c, i + a, j + b]`` row by row of the kernel, left to right.

    Args:
        planes: (C, h + k - 1, w + k - 1) contiguous.
        kernel: (k, k).
        out: (C, h, w), overwritten.
    """
    channels, height, width = out.shape
    side = kernel.shape[0]
    for c in range(channels):
        for i in range(height):
            line = out[c, i]
            for j in range(width):
                line[j] = np.float32(0.0)
            for a in range(side):
                source = planes[c, i + a]
                for b in range(side):
                    weight = kernel[a, b]
                    for j in range(width):
                        line[j] += weight * source[j + b]
