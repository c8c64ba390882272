"""The smoothest function on a hole that takes given values around it (Pérez et al., *Poisson Image Editing*, 2003)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu


def membrane(values: NDArray[np.floating], hole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Solves Laplace's equation in a hole, with the values of the pixels beside it.

    Added to what was made, it takes away the difference from the real pixels along the border and keeps the steps from
    pixel to pixel inside. At the edge of the image nothing is known, and nothing changes across it.

    Args:
        values: (h, w, C), read beside the hole.
        hole: bool (h, w).

    Returns:
        float32 (h, w, C), zero outside of the hole; zero everywhere if nothing is known.
    """
    out = np.zeros(values.shape, np.float32)
    count = int(hole.sum())
    if count in (0, hole.size):
        return out
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(count)
    degree, sides = np.zeros(count), np.zeros((count, values.shape[2]))
    rows, columns = [], []
    for mine, other in _neighbours(hole.shape):
        at, beside = number[mine], number[other]
        within, border = (at >= 0) & (beside >= 0), (at >= 0) & (beside < 0)
        rows.append(at[within])
        columns.append(beside[within])
        np.add.at(degree, at[at >= 0], 1.0)
        np.add.at(sides, at[border], values[other][border])
    i, j = np.concatenate(rows), np.concatenate(columns)
    laplacian = sparse.diags_array(degree) - sparse.coo_array((np.ones(len(i)), (i, j)), shape=(count, count))
    out[hole] = splu(laplacian.tocsc()).solve(sides)
    return out


def _neighbours(shape: tuple[int, ...]) -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Windows of pixels and of their neighbours, in four directions."""
    every, first, last = slice(None), slice(None, -1), slice(1, None)
    pairs = [((first, every), (last, every)), ((every, first), (every, last))]
    return pairs + [(other, mine) for mine, other in pairs]
