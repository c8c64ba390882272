"""The closed-form score against finite differences of the density and against a Monte-Carlo conditional mean."""

import numpy as np
import pytest

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.fields.covariance import Bessel, NoiseLaw, SpectralField, coloured
from infbrush_wsi.phantom.gaussian_mixture import GaussianMixture

LAW = NoiseLaw(Bessel(), reference=8, std=1.0)
A, B = 0.6, 0.64


def log_density(mixture: GaussianMixture, y: np.ndarray) -> float:
    """By the covariance matrix itself, up to a constant."""
    shape = Shape(*y.shape)
    eye = np.eye(shape.count).reshape(-1, *y.shape)
    q = mixture.law.white_scale(shape) ** 2 * coloured(mixture.law, eye, power=2.0).reshape(shape.count, -1)
    inverse = np.linalg.inv((A**2 * mixture.spread**2 + B) * q)
    off = [(y - A * m).ravel() for m in mixture.means(shape)]
    return float(np.logaddexp(*(-0.5 * d @ inverse @ d for d in off)))


@pytest.mark.parametrize("separation", [1.0, 4.0])
def test_the_score_is_the_gradient_of_the_density(separation: float) -> None:
    mixture, shape = GaussianMixture(LAW, separation=separation), Shape(5, 5)
    y = np.random.default_rng(0).normal(size=(5, 5))
    gradient = np.zeros(25)
    for i in range(25):
        step = np.zeros(25)
        step[i] = 1e-5
        ahead, behind = (log_density(mixture, y + s * step.reshape(5, 5)) for s in (1, -1))
        gradient[i] = (ahead - behind) / 2e-5
    score = LAW.white_scale(shape) ** 2 * coloured(LAW, gradient.reshape(5, 5), power=2.0)
    np.testing.assert_allclose(mixture.noise(y[None], A, B)[0], -np.sqrt(B) * score, atol=1e-6)


def test_it_is_the_best_prediction_of_the_noise() -> None:
    """The error of any prediction f is that of the conditional mean plus the mean square of f minus it."""
    mixture, shape = GaussianMixture(LAW, separation=3.0), Shape(8, 8)
    noise = np.stack([SpectralField(LAW, i, 1).on_lattice(shape)[..., 0] for i in range(600)])
    y = A * mixture.sample(shape, 10_000, 600) + np.sqrt(B) * noise
    best = mixture.noise(y, A, B)
    left = noise - best
    assert abs((left * best).mean()) < 0.02  # orthogonal to everything that y tells
    single = np.sqrt(B) * y / (A**2 * mixture.spread**2 + B)
    assert (left**2).mean() < 0.97 * ((noise - single) ** 2).mean()


def test_the_published_convention_has_the_same_probabilities() -> None:
    laws = [LAW, NoiseLaw(Bessel(), reference=8, std=1.0, ortho=True)]
    ours, published = (GaussianMixture(law, separation=3.0) for law in laws)
    y, scale = ours.sample(Shape(16, 16), 0, 9).astype(np.float64), laws[1].value_scale(Shape(16, 16))
    np.testing.assert_allclose(scale * y, published.sample(Shape(16, 16), 0, 9), atol=1e-6)
    np.testing.assert_allclose(ours.responsibilities(y, A, B), published.responsibilities(scale * y, A, B), atol=1e-9)
    np.testing.assert_allclose(scale * ours.noise(y, A, B), published.noise(scale * y, A, B), atol=1e-9)


def test_draws_are_functions_with_two_modes() -> None:
    mixture = GaussianMixture(LAW, separation=12.0, spread=0.5)
    coarse, fine = (mixture.sample(Shape(n, n), 3, 40) for n in (8, 32))
    p = [mixture.responsibilities(v.astype(np.float64), 1.0, 1e-3)[:, 0].round() for v in (coarse, fine)]
    np.testing.assert_array_equal(p[0], p[1])
    assert 10 <= p[0].sum() <= 30
    np.testing.assert_allclose(coarse.mean(axis=(1, 2)), fine.mean(axis=(1, 2)), atol=1e-5)


def test_wrong_mixtures_are_told() -> None:
    with pytest.raises(ConfigError, match="positive separation"):
        GaussianMixture(LAW, separation=0.0)
