"""Small windows at full density, placed so that every pixel is equally likely to be inside one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Shape


def draw_windows(rng: np.random.Generator, shape: Shape, budget: int, side: int) -> NDArray[np.int64]:
    """Flat indices of the pixels of random windows, at most `budget` of them.

    The lattice is cut into `side` x `side` blocks (smaller ones last), ``budget // side²`` of them are drawn, and all
    are moved by one random shift that wraps around the lattice. The shift makes the law of the set the same seen from
    every pixel, hence equal inclusion probabilities, of these points and of others drawn uniformly beside them,
    without any correction at the borders. A window that wraps around is cut there.

    Returns:
        (n,) int64, distinct, n <= budget.
    """
    shift_y, shift_x = (int(v) for v in rng.integers(shape.as_tuple()))
    rows, columns = -(-shape.h // side), -(-shape.w // side)
    wanted = min(rows * columns, budget // (side * side))
    parts: list[NDArray[np.int64]] = []
    for block in rng.choice(rows * columns, size=wanted, replace=False):
        y0, x0 = (int(block) // columns) * side, (int(block) % columns) * side
        y = (np.arange(y0, min(y0 + side, shape.h), dtype=np.int64) + shift_y) % shape.h
        x = (np.arange(x0, min(x0 + side, shape.w), dtype=np.int64) + shift_x) % shape.w
        parts.append((y[:, None] * shape.w + x).ravel())
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
