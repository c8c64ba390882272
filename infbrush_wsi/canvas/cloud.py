"""Values at scattered points with the area that each stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box


@dataclass(frozen=True)
class Cloud:
    """Values at scattered points.

    Attributes:
        where: (N, 2) in training pixels.
        values: (N, C) float32, T x_0.
        weight: (N,) area that each point stands for, times its frame's share in the partition of unity.
    """

    where: NDArray[np.float64]
    values: NDArray[np.float32]
    weight: NDArray[np.float32]

    @classmethod
    def joined(cls, clouds: Sequence[Cloud]) -> Cloud:
        """All of them."""
        parts = [np.concatenate([getattr(c, name) for c in clouds]) for name in ("where", "values", "weight")]
        return cls(*parts)

    def scaled(self, factor: float) -> Cloud:
        """In coordinates that are `factor` times as large."""
        return replace(self, where=self.where * factor)

    def inside(self, box: Box) -> Cloud:
        """Points within a box that carry weight."""
        low, high = np.asarray([box.y0, box.x0]), np.asarray([box.y1, box.x1])
        kept = ((self.where >= low) & (self.where < high)).all(axis=1) & (self.weight > 0)
        return Cloud(self.where[kept], self.values[kept], self.weight[kept])
