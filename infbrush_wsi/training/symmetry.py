"""The eight symmetries of a square window, applied to lattice points instead of images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def to_source_frame(index_yx: NDArray[np.integer], side: int, symmetry: int) -> NDArray[np.int64]:
    """Where a point of the augmented window lies in the window of the source.

    Args:
        index_yx: (N, 2) lattice points of the augmented window.
        side: of the window in pixels.
        symmetry: 0..7; bit 0 mirrors rows, bit 1 mirrors columns, bit 2 then swaps the axes. 0 is the identity.

    Returns:
        (N, 2) int64.
    """
    out = np.asarray(index_yx, np.int64).copy()
    for axis in (0, 1):
        if symmetry >> axis & 1:
            out[:, axis] = side - 1 - out[:, axis]
    return out[:, ::-1] if symmetry & 4 else out


def in_window_frame(image: NDArray[np.generic], symmetry: int) -> NDArray[np.generic]:
    """An array over the source's window as the augmented window sees it: ``out[i, j] = image[to_source_frame(i, j)]``.

    Args:
        image: (h, w), of any resolution.
        symmetry: as in `to_source_frame`.
    """
    out = image.T if symmetry & 4 else image
    return out[:: -1 if symmetry & 1 else 1, :: -1 if symmetry & 2 else 1]
