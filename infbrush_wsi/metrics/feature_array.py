"""What every distance of two sets of features asks of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.errors import DatasetError

Features = NDArray[np.float64]
"""(N, D): one vector an image."""


def as_features(values: ArrayLike, what: str, *, least: int = 2) -> Features:
    """Features as float64 (N, D).

    Args:
        values: (N, D), real numbers.
        what: 'real' or 'generated', for messages.
        least: fewest vectors that are enough.

    Raises:
        DatasetError: if they are no such array, too few, or not finite.
    """
    found = np.asarray(values)
    if found.ndim != 2 or found.dtype.kind not in "fiu" or found.shape[1] == 0:
        raise DatasetError(f"the {what} features must be numbers (N, D), not {found.dtype} {found.shape}")
    if len(found) < least:
        raise DatasetError(f"{len(found)} {what} images are too few: at least {least} are needed")
    made = np.asarray(found, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(made).all(axis=1))
    if len(bad):
        raise DatasetError(f"the {what} features of {len(bad)} images are not finite; the first is number {bad[0]}")
    return made


def as_pair(real: ArrayLike, generated: ArrayLike, *, least: int = 2) -> tuple[Features, Features]:
    """Both sets as float64 (N, D) of the same D.

    Raises:
        DatasetError: if one is unusable, or they are of different features.
    """
    one, two = as_features(real, "real", least=least), as_features(generated, "generated", least=least)
    same_dimension(one.shape[1], two.shape[1])
    return one, two


def same_dimension(real: int, generated: int) -> None:
    """Refuse features of two networks.

    Raises:
        DatasetError: if the dimensions differ.
    """
    if real != generated:
        raise DatasetError(
            f"the real features have {real} dimensions, the generated {generated}: compute both with the same network"
        )


def row_weights(weights: NDArray[Any] | None, count: int) -> NDArray[np.float64]:
    """Weights (R, N) of R resamples, or one row of ones.

    Raises:
        DatasetError: if there is not one weight an image.
    """
    if weights is None:
        return np.ones((1, count))
    if weights.ndim != 2 or weights.shape[1] != count:
        raise DatasetError(f"weights must be (resamples, {count}), not {weights.shape}")
    return np.asarray(weights, dtype=np.float64)
