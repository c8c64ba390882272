"""One plane from three: what structure is measured on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REC_601 = (0.299, 0.587, 0.114)


def luminance(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma of RGB images (..., 3), from 0 to 1: float32 (...)."""
    return np.asarray(images.astype(np.float32) @ (np.asarray(REC_601, np.float32) / np.float32(255)))
