"""The law of the field: variance, covariance, normality, independence. Seeds are fixed, so no test is left to luck."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.fields import NoiseField
from infbrush_wsi.fields._noise_kernels import axis_taps

FIELD = NoiseField(seed=2024, channels=4)
APART = 12.0  # pixels: more than two reaches, so that the values at two such points share no node
AXES = {"x": (0.0, 1.0), "y": (1.0, 0.0), "diagonal": (math.sqrt(0.5), math.sqrt(0.5)), "steep": (0.8, -0.6)}


def independent_points(side: int, seed: int) -> NDArray[np.float64]:
    """side**2 points at random places of cells that share no node, around the origin."""
    cells = np.stack(np.mgrid[0:side, 0:side], axis=-1).reshape(-1, 2) - side // 2
    return np.asarray(cells * APART + np.random.default_rng(seed).uniform(0, 1, (side * side, 2)))


def dense_weights(coordinate: float, field: NoiseField) -> dict[int, float]:
    weights = np.empty(int(2 * field.reach) + 2)
    first, count = axis_taps(coordinate, field.reach, field.sigma, weights)
    return dict(zip(range(first, first + count), weights[:count].tolist(), strict=True))


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0])
def test_exact_covariance_against_the_closed_form(sigma: float) -> None:
    """No sampling: along an axis the covariance is the inner product of the two points' weights."""
    field = NoiseField(seed=0, channels=1, sigma=sigma, std=1.0)
    for start, lag in itertools.product(np.linspace(-0.5, 0.5, 9), np.linspace(0, 10 * sigma, 81)):
        a, b = dense_weights(start, field), dense_weights(start + lag, field)
        exact = sum(weight * b.get(node, 0.0) for node, weight in a.items())
        assert exact == pytest.approx(float(field.covariance(lag)), abs=3e-4)


@pytest.mark.parametrize("fraction", [(0.0, 0.0), (0.5, 0.5), (0.25, 0.9), (0.37, 0.5)])
def test_variance_is_the_same_everywhere(fraction: tuple[float, float]) -> None:
    points = np.floor(independent_points(250, 0)) + np.array(fraction)
    values = FIELD.at(points).astype(np.float64) / FIELD.scale
    n = values.size
    assert abs(values.mean()) < 3 / math.sqrt(n)
    assert abs(values.var() - 1.0) < 3 * math.sqrt(2 / n)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("lag", [0.3, 0.5, 1.0, 1.7, 2.0, 3.25, 4.5])
def test_covariance_at_fractional_lags(axis: str, lag: float) -> None:
    points = independent_points(250, 1)
    a = FIELD.at(points).astype(np.float64)
    b = FIELD.at(points + lag * np.array(AXES[axis])).astype(np.float64)
    variance, expected = FIELD.scale**2, float(FIELD.covariance(lag))
    error = math.sqrt((variance**2 + expected**2) / a.size)
    assert (a * b).mean() == pytest.approx(expected, abs=3.5 * error + 3e-4 * variance)


@pytest.mark.parametrize("spacing", [0.5, 1.0, 2.0])
def test_covariance_on_lattices_of_every_resolution(spacing: float) -> None:
    values = FIELD.on_lattice((-99.3, 3.1), spacing, Shape(1200, 1200)).astype(np.float64)
    stride = math.ceil(APART / spacing)
    variance = FIELD.scale**2
    for dy, dx in [(0, 0), (0, 1), (1, 0), (1, 1), (0, 3), (2, -1), (4, 4)]:
        inner = values[8:-8, 8:-8][::stride, ::stride]
        moved = values[8 + dy :, 8 + dx :][::stride, ::stride][: inner.shape[0], : inner.shape[1]]
        expected = float(FIELD.covariance(spacing * math.hypot(dy, dx)))
        error = math.sqrt((variance**2 + expected**2) / inner.size)
        assert (inner * moved).mean() == pytest.approx(expected, abs=3.5 * error + 3e-4 * variance)


def test_field_is_normal() -> None:
    values = FIELD.at(independent_points(200, 2)) / FIELD.scale
    assert stats.kstest(values.ravel().astype(np.float64), "norm").pvalue > 0.01


def test_white_noise_is_standard_normal_in_its_tails_too() -> None:
    values = NoiseField(seed=3, channels=4).white(Box(-500, -500, 1000, 1000)).ravel().astype(np.float64)
    assert stats.kstest(values, "norm").pvalue > 0.01
    for level in (3.0, 4.0, 4.5):
        expected = 2 * stats.norm.sf(level) * values.size
        assert abs((np.abs(values) > level).sum() - expected) < 4 * math.sqrt(expected)


def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """In standard errors under independence."""
    a64, b64 = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(np.corrcoef(a64, b64)[0, 1] * math.sqrt(a64.size))


def test_channels_are_independent() -> None:
    values = NoiseField(seed=8, channels=9).white(Box(0, 0, 400, 400))
    for a, b in itertools.combinations(range(9), 2):
        assert abs(correlation(values[..., a], values[..., b])) < 4
        # Box-Muller's two normals share a radius: also their squares must not be correlated.
        assert abs(correlation(values[..., a] ** 2, values[..., b] ** 2)) < 4


@pytest.mark.parametrize("change", [{"seed": 9}, {"seed": 8 + 2**32}, {"seed": 8 << 32}, {"stream": 1}, {"stream": 8}])
def test_seeds_and_streams_are_independent(change: dict[str, int]) -> None:
    box = Box(-300, -300, 600, 600)
    one = NoiseField(seed=8, channels=4).white(box)
    other = NoiseField(**{"seed": 8, "channels": 4, **change}).white(box)  # type: ignore[arg-type]
    for a, b in itertools.product(range(4), repeat=2):
        assert abs(correlation(one[..., a], other[..., b])) < 4


def test_places_are_independent() -> None:
    """Neighbouring tiles, mirrored and transposed tiles, and shifts within a tile."""
    tile = FIELD.white(Box(0, 0, 400, 400))
    others = {
        "right": FIELD.white(Box(400, 0, 400, 400)),
        "below": FIELD.white(Box(0, 400, 400, 400)),
        "negative": FIELD.white(Box(-400, -400, 400, 400)),
        "far": FIELD.white(Box(2**16, 2**20, 400, 400)),
        "mirrored": FIELD.white(Box(-400, 0, 400, 400))[:, ::-1],
        "shifted": np.roll(tile, 1, axis=1),
    }
    for name, other in others.items():
        assert abs(correlation(tile, other)) < 4, name
    # The transposed tile is the tile: leave the diagonal, where they meet, and one half out.
    upper = np.triu_indices(400, 1)
    assert abs(correlation(tile[upper], tile.swapaxes(0, 1)[upper])) < 4


def test_joint_law_across_a_tile_edge() -> None:
    """Values on both sides of an edge, read by two separate windows, are as correlated as the closed form says."""
    left = FIELD.on_lattice((0.0, 0.0), 1.0, Shape(200_000, 1))[::12].astype(np.float64)
    right = FIELD.on_lattice((0.0, 1.0), 1.0, Shape(200_000, 1))[::12].astype(np.float64)
    expected = float(FIELD.covariance(1.0))
    error = math.sqrt((FIELD.scale**4 + expected**2) / left.size)
    assert (left * right).mean() == pytest.approx(expected, abs=3.5 * error)
