"""Distances against closed forms and against the libraries whose numbers are published."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from infbrush_wsi.errors import ConfigError, DatasetError
from infbrush_wsi.metrics import (
    GaussianStatistics,
    SmallSampleWarning,
    feature_metrics,
    frechet_distance,
    kernel_distance,
    kernel_distances,
    precision_recall,
)
from infbrush_wsi.metrics.bootstrap import Bootstrap, Samples


def pair(n: int = 400, m: int = 300, d: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) / d**0.5
    real = rng.normal(size=(n, d)) @ mix + 0.3
    return real.astype(np.float32), (rng.normal(size=(m, d)) @ mix * 1.3 + 0.1).astype(np.float32)


def statistics(mean: np.ndarray, covariance: np.ndarray) -> GaussianStatistics:
    made = GaussianStatistics(len(mean), 10_000)
    made.mean, made.scatter = mean, covariance * 9_999
    return made


def test_known_gaussians_give_the_closed_form():
    one = statistics(np.zeros(3), np.diag([1.0, 4.0, 9.0]))
    two = statistics(np.array([1.0, 2.0, 0.0]), np.diag([4.0, 1.0, 9.0]))
    assert frechet_distance(one, two) == pytest.approx(5.0 + 1.0 + 1.0 + 0.0, rel=1e-12)
    # Not commuting, in two dimensions: tr (AB)^(1/2) = sqrt(tr AB + 2 sqrt(det AB)).
    a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[5.0, -2.0], [-2.0, 1.5]])
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    found = frechet_distance(statistics(np.zeros(2), a), statistics(np.zeros(2), b))
    assert found == pytest.approx(np.trace(a) + np.trace(b) - 2 * root, rel=1e-12)


def test_samples_of_known_gaussians_come_near_the_closed_form():
    rng = np.random.default_rng(3)
    one, two = rng.normal(0, 1, (40_000, 4)), rng.normal(1, 2, (40_000, 4))
    assert frechet_distance(one, two) == pytest.approx(4 * (1 + 1), rel=0.03)


def test_rank_deficient_covariances_are_exact():
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(20, 50)), rng.normal(size=(30, 50)) + 0.2
    with pytest.warns(SmallSampleWarning, match="20 images for 50 dimensions"):
        found = frechet_distance(real, made)
    one, two = np.cov(real.T), np.cov(made.T)
    values = np.linalg.eigvals(one @ two).astype(complex)
    shift = real.mean(0) - made.mean(0)
    expected = shift @ shift + np.trace(one) + np.trace(two) - 2 * np.sqrt(values).real.sum()
    assert found == pytest.approx(expected, rel=1e-6)
    flat = np.ones((20, 3))
    assert frechet_distance(flat, flat + 2) == pytest.approx(12.0)
    assert frechet_distance(flat, flat) == 0.0


def test_streamed_and_merged_statistics_are_those_of_the_whole():
    real, _ = pair()
    real = real.astype(np.float64) + 1e4
    one, two = GaussianStatistics(32), GaussianStatistics(32)
    for start in range(0, 200, 64):
        one.update(real[start : min(200, start + 64)])
    two.update(real[200:])
    one.merge(two)
    assert one.count == 400
    np.testing.assert_allclose(one.mean, real.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(one.covariance, np.cov(real.T), rtol=1e-6, atol=1e-9)


def test_frechet_agrees_with_the_matrix_root():
    real, made = (features.astype(np.float64) for features in pair())
    root = scipy.linalg.sqrtm(np.cov(real.T) @ np.cov(made.T)).real
    shift = real.mean(0) - made.mean(0)
    expected = shift @ shift + np.trace(np.cov(real.T) + np.cov(made.T) - 2 * root)
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-8)


def test_kernel_distance_has_no_bias_and_blocks_do_not_matter(monkeypatch):
    from infbrush_wsi.metrics import kernel

    rng = np.random.default_rng(0)
    values = [kernel_distances(rng.normal(size=(30, 8)), rng.normal(size=(40, 8)))[0] for _ in range(200)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 200**0.5
    real, made = pair(100, 70)
    whole = kernel_distances(real, made)
    monkeypatch.setattr(kernel, "BLOCK", 33)
    np.testing.assert_allclose(kernel_distances(real, made), whole, rtol=1e-12)


def test_manifolds_of_a_few_points_are_as_drawn_by_hand(monkeypatch):
    """Real at 0, 1, 3 with k = 1: radii 1, 1, 2. Generated at 0.5, 9, 9.5: radii 8.5, 0.5, 0.5."""
    from infbrush_wsi.metrics import manifold

    real, made = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [9.0], [9.5]])
    for block in (1, 2, 1024):
        monkeypatch.setattr(manifold, "BLOCK", block)
        found = precision_recall(real, made, k=1)
        assert found == pytest.approx({"precision": 1 / 3, "recall": 1.0, "density": 2 / 3, "coverage": 2 / 3})


def test_intervals_hold_the_value_and_are_repeatable():
    real, made = pair(120, 120, 8)
    one = feature_metrics(real, made, bootstrap=Bootstrap(resamples=100), prefix="crop_")
    again = feature_metrics(real, made, bootstrap=Bootstrap(resamples=100), prefix="crop_")
    assert [r.to_json() for r in one] == [r.to_json() for r in again]
    assert [r.name for r in one] == [
        f"crop_{n}" for n in ("frechet", "kernel", "precision", "recall", "density", "coverage")
    ]
    for result in one:
        assert result.low <= result.value <= result.high
        assert result.high > result.low
        assert result.settings["resamples"] == 100
    other = feature_metrics(real, made, bootstrap=Bootstrap(resamples=100, seed=1), prefix="crop_")
    assert other[0].low != one[0].low
    assert other[0].value == one[0].value


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """Kernel distance: against a large sample. Fréchet distance: against the closed form, 2 x 0.5² + 0."""
    rng = np.random.default_rng(0)
    kernel = kernel_distances(rng.normal(size=(4000, 2)), rng.normal(0.5, 1, (4000, 2)))[0]
    held = {"frechet": 0, "kernel": 0}
    for trial in range(60):
        real, made = rng.normal(size=(80, 2)), rng.normal(0.5, 1, (80, 2))
        found = feature_metrics(real, made, bootstrap=Bootstrap(resamples=60, level=0.9, seed=trial), k=200)
        for result, truth in zip(found, (0.5, kernel), strict=True):
            held[result.name] += result.low <= truth <= result.high
    for name, count in held.items():
        assert 0.75 <= count / 60 <= 0.99, name


def test_sets_of_very_few_images_have_finite_intervals():
    real, made = pair(3, 2, 4)
    for result in feature_metrics(real, made, bootstrap=Bootstrap(resamples=50), k=1):
        assert np.isfinite([result.value, result.low, result.high]).all(), result.name


def test_crops_of_one_image_are_drawn_together():
    groups = np.repeat(np.arange(20), 4)
    drawn = Bootstrap(resamples=30).weights(groups, 0)
    assert (drawn[:, 0::4] == drawn[:, 3::4]).all()
    assert (drawn[0] == 1).all()
    rng = np.random.default_rng(0)
    real, made = (np.repeat(rng.normal(size=(20, 4)), 4, axis=0) for _ in range(2))
    grouped = feature_metrics(real, made, samples=Samples(groups, groups))
    single = feature_metrics(real, made)
    assert grouped[0].high - grouped[0].low > 1.5 * (single[0].high - single[0].low)


@pytest.mark.parametrize(
    ("real", "made", "match"),
    [
        (np.zeros((1, 4)), np.zeros((9, 4)), "1 real images are too few"),
        (np.zeros((9, 4)), np.zeros((9, 5)), "same network"),
        (np.zeros((9, 4)), np.full((9, 4), np.nan), "generated features of 9 images are not finite"),
        (np.zeros(9), np.zeros((9, 4)), "numbers"),
    ],
)
def test_unusable_features_are_told(real, made, match):
    for distance in (frechet_distance, kernel_distance, precision_recall, feature_metrics):
        with pytest.raises(DatasetError, match=match):
            distance(real, made)


def test_bad_settings_are_told():
    real, made = pair(20, 20, 4)
    with pytest.raises(ConfigError, match="neighbours"):
        precision_recall(real, made, k=0)
    with pytest.raises(DatasetError, match="at least 21"):
        precision_recall(real, made, k=20)
    with pytest.raises(ConfigError, match="subsets"):
        kernel_distance(real, made, subset_size=1)
    with pytest.raises(ConfigError, match="level"):
        Bootstrap(level=95)
