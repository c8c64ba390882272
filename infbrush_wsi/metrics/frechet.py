"""The Fréchet distance of two Gaussians: FID on Inception's features, FD on others."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.errors import DatasetError
from infbrush_wsi.metrics.feature_array import as_features, as_pair, row_weights, same_dimension
from infbrush_wsi.metrics.gaussian import GaussianStatistics, Moments, moments


class SmallSampleWarning(UserWarning):
    """A distance was computed from so few images that its bias is likely to be larger than what is looked for."""


def frechet_distance(real: ArrayLike | GaussianStatistics, generated: ArrayLike | GaussianStatistics) -> float:
    r"""Squared Fréchet distance :math:`|m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^{1/2})`.

    The trace of the root is the sum of the singular values of :math:`F_1 F_2^T` with :math:`F^T F = C`, which is
    exact for covariances of any rank.

    Args:
        real: features (N, D), or their statistics.
        generated: the same of the other set.

    Returns:
        The distance, in squared units of the features.

    Raises:
        DatasetError: if a set is unusable, has fewer than two images, or the dimensions differ.

    Warns:
        SmallSampleWarning: if a set has no more images than dimensions. The distance is biased upwards by about
            1 / N in any case: compare only numbers of equal N.
    """
    one, n_one = _moments(real, "real")
    two, n_two = _moments(generated, "generated")
    same_dimension(len(one.mean), len(two.mean))
    note = small_sample_note(n_one, n_two, len(one.mean))
    if note:
        warnings.warn(note, SmallSampleWarning, stacklevel=2)
    return between(one, two)


def frechet_distances(
    real: ArrayLike,
    generated: ArrayLike,
    real_weights: NDArray[Any] | None = None,
    generated_weights: NDArray[Any] | None = None,
) -> NDArray[np.float64]:
    """Distances of R resamples of two sets.

    Args:
        real: features (N, D).
        generated: features (M, D).
        real_weights: (R, N), how often each image was drawn; None: once.
        generated_weights: (R, M).

    Returns:
        float64 (R,).

    Raises:
        DatasetError: if a set is unusable or the weights do not fit.
    """
    one, two = as_pair(real, generated)
    first, second = row_weights(real_weights, len(one)), row_weights(generated_weights, len(two))
    pairs = zip(first, second, strict=True)
    return np.array([between(moments(one, a), moments(two, b)) for a, b in pairs])


def small_sample_note(real: int, generated: int, dimension: int) -> str | None:
    """What to say if there are no more images than dimensions; None if there are."""
    least = min(real, generated)
    if least > dimension:
        return None
    return (
        f"{least} images for {dimension} dimensions: the covariance is rank-deficient and the Fréchet distance biased "
        "upwards; compare it only with distances of as many images, or use the kernel distance, which has no bias"
    )


def between(one: Moments, two: Moments) -> float:
    """The squared distance of two Gaussians."""
    shift = one.mean - two.mean
    root = scipy.linalg.svdvals(one.factor @ two.factor.T).sum() if len(one.factor) and len(two.factor) else 0.0
    # Rounding may leave a little less than nothing for equal sets.
    return max(0.0, float(shift @ shift + one.trace + two.trace - 2 * root))


def _moments(given: ArrayLike | GaussianStatistics, what: str) -> tuple[Moments, int]:
    if isinstance(given, GaussianStatistics):
        if given.count < 2:
            raise DatasetError(f"{given.count} {what} images are too few: at least 2 are needed")
        return Moments(given.mean, given.factor()), given.count
    features = as_features(given, what)
    return moments(features, np.ones(len(features))), len(features)
