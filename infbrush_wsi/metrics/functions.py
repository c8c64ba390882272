"""Distances between two sets of functions on a lattice, without features: sliced Wasserstein and Riesz-kernel MMD.

Lengths are those of L2 of the unit square: the mean over pixels, so that the same functions on a finer lattice are at
the same distance. Neither changes values image by image, as the published evaluation did.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.metrics.feature_array import Features, as_pair


def sliced_wasserstein(real: ArrayLike, generated: ArrayLike, *, projections: int = 256, seed: int = 0) -> float:
    """Sliced Wasserstein-2 distance: root mean square over directions of the distance of one-dimensional projections.

    Args:
        real: (N, ...) functions.
        generated: (M, ...) of the same lattice.
        projections: random directions.
        seed: of the directions.

    Returns:
        The distance, scaled by the square root of the dimension: that of two constants is their difference.

    Raises:
        DatasetError: if a set is unusable.
        ConfigError: if there is no projection.
    """
    if projections < 1:
        raise ConfigError(f"the sliced distance needs at least one projection, not {projections}")
    one, two = _flat_pair(real, generated)
    rng = np.random.default_rng(seed)
    total = 0.0
    dimension = one.shape[1]
    for _ in range(projections):
        direction = rng.standard_normal(dimension)
        # A unit vector times the root of the dimension, against functions that _flat_pair has divided by that root.
        direction *= np.sqrt(dimension) / np.linalg.norm(direction)
        total += _wasserstein_squared(np.sort(one @ direction), np.sort(two @ direction))
    return float(np.sqrt(total / projections))


def riesz_mmd(real: ArrayLike, generated: ArrayLike, *, exponent: float = 1.0) -> float:
    """Unbiased squared maximum mean discrepancy with the Riesz kernel ``-|x - y|^exponent`` (energy distance for 1).

    Args:
        real: (N, ...) functions.
        generated: (M, ...) of the same lattice.
        exponent: above 0 and below 2.

    Returns:
        The squared discrepancy; it may be a little below zero for equal laws.

    Raises:
        DatasetError: if a set is unusable.
        ConfigError: if the exponent is out of range.
    """
    if not 0 < exponent < 2:
        raise ConfigError(f"a Riesz kernel needs an exponent between 0 and 2, not {exponent}")
    one, two = _flat_pair(real, generated)

    def within(values: Features) -> float:
        pairs = len(values) * (len(values) - 1)
        return float((cdist(values, values) ** exponent).sum() / pairs)

    across = float((cdist(one, two) ** exponent).mean())
    return 2.0 * across - within(one) - within(two)


def _flat_pair(real: ArrayLike, generated: ArrayLike) -> tuple[Features, Features]:
    flat = (np.asarray(v) for v in (real, generated))
    one, two = as_pair(*(v.reshape(len(v), -1) if v.ndim > 1 else v for v in flat))
    scale = 1.0 / np.sqrt(one.shape[1])
    return one * scale, two * scale


def _wasserstein_squared(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Squared W2 of two sorted samples of any sizes: the integral of the squared difference of their quantiles."""
    cuts = np.union1d(np.arange(1, len(a) + 1) / len(a), np.arange(1, len(b) + 1) / len(b))
    weight = np.diff(cuts, prepend=0.0)
    middle = cuts - 0.5 * weight
    difference = a[(middle * len(a)).astype(np.int64)] - b[(middle * len(b)).astype(np.int64)]
    return float((weight * difference**2).sum())
