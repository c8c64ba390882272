"""Small windows at full density, placed so that every pixel is equally likely to be inside one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Shape


def draw_windows(rng: np.random.Generator, shape: Shape, budget: int, side: int) -> NDArray[np.int64]:
    """Flat indices of the pixels of random windows, at most `budget` of them.

    The plane is cut into `side` x `side` blocks with a random offset, and ``budget // side²`` of them are drawn. A block
    at the border of the lattice is cut by it. Given the offset, each pixel lies in exactly one block and all blocks are
    alike, hence equal inclusion probabilities without any correction at the borders.

    Returns:
        (n,) int64, distinct, n <= budget.
    """
    oy, ox = (int(v) for v in rng.integers(side, size=2))
    rows, columns = -(-(shape.h + oy) // side), -(-(shape.w + ox) // side)
    wanted = min(rows * columns, budget // (side * side))
    parts: list[NDArray[np.int64]] = []
    for block in rng.choice(rows * columns, size=wanted, replace=False):
        y0, x0 = (int(block) // columns) * side - oy, (int(block) % columns) * side - ox
        y = np.arange(max(y0, 0), min(y0 + side, shape.h), dtype=np.int64)
        x = np.arange(max(x0, 0), min(x0 + side, shape.w), dtype=np.int64)
        parts.append((y[:, None] * shape.w + x).ravel())
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
