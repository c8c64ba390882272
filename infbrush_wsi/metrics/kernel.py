"""The kernel distance: maximum mean discrepancy with a cubic kernel (KID on Inception's features)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.metrics.feature_array import Features, as_pair, row_weights

DEGREE = 3
BLOCK = 1024
"""Rows of a kernel matrix held at once."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class KernelDistance:
    """Mean and standard deviation over subsets, as KID is reported."""

    mean: float
    std: float


def kernel_distance(
    real: ArrayLike, generated: ArrayLike, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Unbiased squared MMD with the kernel (x · y / D + 1)^3, averaged over random subsets without replacement.

    Args:
        real: features (N, D).
        generated: features (M, D).
        subsets: how many are drawn.
        subset_size: images of each set in a subset; at most all are taken.
        seed: of the draws.

    Raises:
        DatasetError: if a set is unusable.
        ConfigError: if there is no subset, or one of fewer than two images.
    """
    one, two = as_pair(real, generated)
    size = min(subset_size, len(one), len(two))
    if subsets < 1 or size < 2:
        raise ConfigError(f"a kernel distance needs subsets of two images at least, not {subsets} of {subset_size}")
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        a, b = (features[rng.choice(len(features), size, replace=False)] for features in (one, two))
        values.append(kernel_distances(a, b)[0])
    return KernelDistance(float(np.mean(values)), float(np.std(values)))


def kernel_distances(
    real: ArrayLike,
    generated: ArrayLike,
    real_weights: NDArray[Any] | None = None,
    generated_weights: NDArray[Any] | None = None,
) -> Array:
    """Unbiased squared MMD over all pairs, for R resamples in one pass; memory grows with R (N + M) only.

    An image that was drawn twice is no pair with itself, so resampling adds no bias.

    Args:
        real: features (N, D).
        generated: features (M, D).
        real_weights: (R, N), how often each image was drawn; None: once.
        generated_weights: (R, M).

    Returns:
        float64 (R,); it may be a little below zero for equal distributions.

    Raises:
        DatasetError: if a set is unusable or the weights do not fit.
    """
    one, two = as_pair(real, generated)
    first, second = row_weights(real_weights, len(one)), row_weights(generated_weights, len(two))
    across = _weighted_sums(one, two, first, second, same=False) / (first.sum(axis=1) * second.sum(axis=1))
    return np.asarray(_within(one, first) + _within(two, second) - 2 * across)


def _within(features: Features, weights: Array) -> Array:
    pairs = weights.sum(axis=1) ** 2 - np.square(weights).sum(axis=1)
    return np.asarray(_weighted_sums(features, features, weights, weights, same=True) / pairs)


def _weighted_sums(one: Features, two: Features, first: Array, second: Array, *, same: bool) -> Array:
    """Sums of w_i v_j k(x_i, y_j) over all pairs, without i = j for the same set: (R,)."""
    total = np.zeros(len(first))
    for start in range(0, len(one), BLOCK):
        block = slice(start, min(len(one), start + BLOCK))
        kernel = (one[block] @ two.T / one.shape[1] + 1.0) ** DEGREE
        if same:
            rows = np.arange(block.stop - block.start)
            kernel[rows, rows + start] = 0.0
        total += np.einsum("ri,ir->r", first[:, block], kernel @ second.T)
    return total
