"""What a coordinate sampler returns: lattice points, the area each stands for, and its weight in the loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import SamplingError


@dataclass(frozen=True)
class Draw:
    """Distinct lattice points in row-major order.

    Attributes:
        index_yx: (N, 2) int32, row and column of each point; sorted row-major, no point twice.
        area: (N,) float32, the area in pixels that each point stands for *given this draw* (1 inside a dense window,
            the inverse sampling density elsewhere). Operators that integrate over the image use it.
        weight: (N,) float32, inverse inclusion probability of each point over all draws, times N / pixels, so that
            ``mean(weight * f)`` is an unbiased estimate of the mean of f over all pixels.
    """

    index_yx: NDArray[np.int32]
    area: NDArray[np.float32]
    weight: NDArray[np.float32]

    @property
    def count(self) -> int:
        """Number of points."""
        return len(self.index_yx)


def make_draw(
    flat: NDArray[np.int64], shape: Shape, area: NDArray[np.floating] | None, inclusion: NDArray[np.floating] | None
) -> Draw:
    """Order flat pixel indices row-major and attach areas and weights.

    Args:
        flat: (N,) distinct indices ``row * w + column``.
        shape: lattice that they index.
        area: (N,) area per point in pixels; None: pixels / N each.
        inclusion: (N,) probability that a draw holds the point; None: N / pixels for all.
    """
    order = np.argsort(flat, kind="stable")
    flat = flat[order]
    n = len(flat)
    uniform = shape.count / n
    index = np.stack(np.divmod(flat, shape.w), axis=1).astype(np.int32)
    areas = np.full(n, uniform, np.float32) if area is None else area[order].astype(np.float32)
    weight = np.ones(n) if inclusion is None else n / (inclusion[order] * shape.count)
    return Draw(index, areas, weight.astype(np.float32))


def check_budget(points: int, shape: Shape) -> None:
    """Refuse a number of points that the lattice cannot give.

    Raises:
        SamplingError: if `points` is not between 1 and the number of pixels.
    """
    if not 1 <= points <= shape.count:
        raise SamplingError(
            f"cannot draw {points} distinct points from {shape.h} x {shape.w} = {shape.count} pixels; "
            "lower 'points' or enlarge the training window"
        )
