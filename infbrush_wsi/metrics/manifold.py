"""Precision, recall, density and coverage on manifolds of nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.metrics.feature_array import Features, as_pair, row_weights

BLOCK = 1024
"""Rows of a distance matrix held at once."""
NAMES = ("precision", "recall", "density", "coverage")


@dataclass(frozen=True)
class Manifolds:
    """For each image, how it lies to the other set.

    Attributes:
        precision: bool (M,), whether a generated image lies in a ball of a real one.
        density: float64 (M,), in how many balls of real images it lies, over k.
        recall: bool (N,), whether a real image lies in a ball of a generated one.
        coverage: bool (N,), whether the ball of a real image holds a generated one.
    """

    precision: NDArray[np.bool_]
    density: NDArray[np.float64]
    recall: NDArray[np.bool_]
    coverage: NDArray[np.bool_]

    def means(
        self, real_weights: NDArray[Any] | None = None, generated_weights: NDArray[Any] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """The four numbers for R resamples: the images asked are resampled, the balls stay.

        Args:
            real_weights: (R, N); None: each once.
            generated_weights: (R, M).

        Returns:
            By name, float64 (R,).
        """
        real = row_weights(real_weights, len(self.recall))
        made = row_weights(generated_weights, len(self.precision))
        return {
            "precision": _mean(self.precision, made),
            "recall": _mean(self.recall, real),
            "density": _mean(self.density, made),
            "coverage": _mean(self.coverage, real),
        }


def manifolds(real: ArrayLike, generated: ArrayLike, *, k: int = 5) -> Manifolds:
    """Balls around every image that reach to its k-th nearest neighbour in its own set, and who lies in them.

    Precision and recall after Kynkäänniemi et al. (2019), density and coverage after Naeem et al. (2020).

    Args:
        real: features (N, D).
        generated: features (M, D).
        k: neighbours.

    Raises:
        DatasetError: if a set is unusable or has not more than k images.
        ConfigError: if k is not positive.
    """
    if k < 1:
        raise ConfigError(f"the number of neighbours must be positive, not {k}")
    one, two = as_pair(real, generated, least=k + 1)
    real_radii, made_radii = _radii(one, k), _radii(two, k)
    balls, recall, coverage = np.zeros(len(two)), [], []
    for start in range(0, len(one), BLOCK):
        rows = slice(start, start + BLOCK)
        squared = squared_distances(one[rows], two)
        inside = squared < real_radii[rows, None]
        balls += inside.sum(axis=0)
        coverage.append(inside.any(axis=1))
        recall.append((squared < made_radii).any(axis=1))
    return Manifolds(balls > 0, balls / k, np.concatenate(recall), np.concatenate(coverage))


def precision_recall(real: ArrayLike, generated: ArrayLike, *, k: int = 5) -> dict[str, float]:
    """Precision, recall, density and coverage by name; see `manifolds`.

    Raises:
        DatasetError: if a set is unusable or has not more than k images.
        ConfigError: if k is not positive.
    """
    return {name: float(values[0]) for name, values in manifolds(real, generated, k=k).means().items()}


def squared_distances(one: Features, two: Features) -> NDArray[np.float64]:
    """Squared Euclidean distances (N, M) of (N, D) and (M, D), float64."""
    found = np.square(one).sum(axis=1)[:, None] + np.square(two).sum(axis=1) - 2 * (one @ two.T)
    np.maximum(found, 0.0, out=found)
    return np.asarray(found)


def _radii(features: Features, k: int) -> NDArray[np.float64]:
    """Squared distance of every image to its k-th neighbour: (N,)."""
    found = []
    for start in range(0, len(features), BLOCK):
        squared = squared_distances(features[start : start + BLOCK], features)
        rows = np.arange(len(squared))
        squared[rows, rows + start] = -1.0
        found.append(np.partition(squared, k, axis=1)[:, k])
    return np.concatenate(found)


def _mean(values: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(weights @ values.astype(np.float64) / weights.sum(axis=1))
