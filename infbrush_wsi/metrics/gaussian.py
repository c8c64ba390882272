"""Mean and covariance of features, gathered batch by batch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.errors import DatasetError
from infbrush_wsi.metrics.feature_array import Features, as_features, same_dimension

Array = NDArray[np.float64]


@dataclass
class GaussianStatistics:
    """Count, mean and scatter of vectors, in float64; memory does not grow with their number.

    Attributes:
        dimension: D.
        count: vectors seen.
        mean: (D,).
        scatter: (D, D), sum of squared deviations from the mean.
    """

    dimension: int
    count: int = 0
    mean: Array = field(init=False)
    scatter: Array = field(init=False)

    def __post_init__(self) -> None:
        self.mean = np.zeros(self.dimension)
        self.scatter = np.zeros((self.dimension, self.dimension))

    @classmethod
    def of(cls, features: ArrayLike) -> GaussianStatistics:
        """Statistics of (N, D) features.

        Raises:
            DatasetError: if they are unusable.
        """
        found = as_features(features, "given", least=1)
        made = cls(found.shape[1])
        made.update(found)
        return made

    def update(self, features: ArrayLike) -> None:
        """Add a batch (N, D).

        Raises:
            DatasetError: if it is unusable or of another dimension.
        """
        found = as_features(features, "given", least=1)
        same_dimension(self.dimension, found.shape[1])
        mean = found.mean(axis=0)
        centred = found - mean
        self._add(len(found), mean, centred.T @ centred)

    def merge(self, other: GaussianStatistics) -> None:
        """Add what another object has seen, for example in another process.

        Raises:
            DatasetError: if it is of another dimension.
        """
        same_dimension(self.dimension, other.dimension)
        self._add(other.count, other.mean, other.scatter)

    @property
    def covariance(self) -> Array:
        """(D, D), divided by count - 1.

        Raises:
            DatasetError: if fewer than two vectors were seen.
        """
        if self.count < 2:
            raise DatasetError(f"{self.count} images are too few for a covariance: at least 2 are needed")
        return self.scatter / (self.count - 1)

    def factor(self) -> Array:
        """F (K, D) with F^T F = covariance; K is D, or the numerical rank if that is less."""
        covariance = self.covariance
        try:
            return np.asarray(scipy.linalg.cholesky(covariance))
        except scipy.linalg.LinAlgError:
            # Many times slower, and right for covariances of any rank.
            values, vectors = scipy.linalg.eigh(covariance)
        kept = values > values[-1] * self.dimension * np.finfo(np.float64).eps
        return np.asarray((vectors[:, kept] * np.sqrt(values[kept])).T)

    def _add(self, count: int, mean: Array, scatter: Array) -> None:
        if count == 0:
            return
        total = self.count + count
        shift = mean - self.mean
        self.scatter = self.scatter + scatter + np.outer(shift, shift) * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total


@dataclass(frozen=True)
class Moments:
    """Mean, trace and a factor of the covariance: all that a Fréchet distance needs.

    Attributes:
        mean: (D,).
        factor: (K, D) with F^T F = covariance.
    """

    mean: Array
    factor: Array

    @property
    def trace(self) -> float:
        """Of the covariance."""
        return float(np.square(self.factor).sum())


def moments(features: Features, weights: Array) -> Moments:
    """Moments of features (N, D) that count `weights` (N,) times, as if they were repeated."""
    kept = weights > 0
    found, times = features[kept], weights[kept]
    total = times.sum()
    mean = times @ found / total
    rows = (found - mean) * np.sqrt(times / (total - 1))[:, None]
    if len(rows) <= rows.shape[1]:
        # Fewer images than dimensions: the rows themselves are the factor, and no D x D matrix is needed.
        return Moments(mean, rows)
    made = GaussianStatistics(rows.shape[1], 2)
    made.scatter = rows.T @ rows
    return Moments(mean, made.factor())
