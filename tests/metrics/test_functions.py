"""Distances of sets of functions against closed forms and brute force."""

import numpy as np
import pytest
from scipy import stats

from infbrush_wsi.errors import ConfigError, DatasetError
from infbrush_wsi.metrics import riesz_mmd, sliced_wasserstein


def test_two_constants_are_as_far_apart_as_their_values() -> None:
    one, two = np.full((5, 4, 4), 0.2), np.full((7, 4, 4), 0.9)
    # A constant's projection is that of the mean of the direction: on average 1 / D of its squared length.
    assert sliced_wasserstein(one, two, projections=4000) == pytest.approx(0.7, rel=0.05)
    assert sliced_wasserstein(one, one) == 0.0
    assert riesz_mmd(one, two) == pytest.approx(2 * 0.7)


def test_one_dimension_is_the_wasserstein_distance() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 1)), rng.normal(1.0, 2.0, size=(25, 1))
    grid = (np.arange(100_000) + 0.5) / 100_000
    brute = np.sqrt(
        ((np.quantile(a, grid, method="inverted_cdf") - np.quantile(b, grid, method="inverted_cdf")) ** 2).mean()
    )
    assert sliced_wasserstein(a, b, projections=3) == pytest.approx(brute, rel=1e-3)
    assert riesz_mmd(a, b) == pytest.approx(
        2 * np.abs(a - b.T).mean() - np.abs(a - a.T).sum() / (40 * 39) - np.abs(b - b.T).sum() / (25 * 24)
    )
    biased = 2 * np.abs(a - b.T).mean() - np.abs(a - a.T).mean() - np.abs(b - b.T).mean()
    assert stats.energy_distance(a[:, 0], b[:, 0]) ** 2 == pytest.approx(biased)


def test_equal_laws_are_near_and_others_far_at_any_resolution() -> None:
    rng = np.random.default_rng(1)
    one, two = (rng.normal(size=(200, 6, 6)) for _ in range(2))
    other = 0.5 + rng.normal(size=(200, 6, 6))
    assert abs(riesz_mmd(one, two)) < 0.01 < riesz_mmd(one, other)
    assert sliced_wasserstein(one, two) < 0.5 * sliced_wasserstein(one, other)
    finer = [np.kron(v, np.ones((3, 3))) for v in (one, other)]
    assert riesz_mmd(*finer) == pytest.approx(riesz_mmd(one, other))


def test_wrong_input_is_told() -> None:
    one = np.zeros((4, 3))
    with pytest.raises(ConfigError, match="at least one projection"):
        sliced_wasserstein(one, one, projections=0)
    with pytest.raises(ConfigError, match="between 0 and 2"):
        riesz_mmd(one, one, exponent=2.0)
    with pytest.raises(DatasetError, match="dimensions"):
        riesz_mmd(one, np.zeros((4, 2)))
