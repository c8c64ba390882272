"""The scale mixture: its spectrum and covariance against closed forms, and that it is one function."""

import numpy as np
import pytest
from scipy import integrate, special

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.fields.covariance import Bessel, Laplacian, NoiseLaw, ScaleMixture

LAW = NoiseLaw(Bessel(), reference=64)


def test_the_spectrum_is_the_bessel_one_without_what_is_finer() -> None:
    mixture = ScaleMixture(LAW, 0, 1)
    f = np.array([0.0, 0.5, 1.0, 4.0, 16.0, 32.0])
    bessel = LAW.covariance.amplitude(np.stack([f, 0 * f], -1), (1.0, 1.0)) ** 2 / 64**2
    kept = special.gammaincc(1.1, (8 + (2 * np.pi * f) ** 2) * mixture.smallest**2)
    np.testing.assert_allclose(mixture.spectrum(f), bessel * kept, rtol=0.01)
    assert kept[0] > 0.999
    assert 0.3 < kept[-1] < 0.7  # the Nyquist frequency


def test_a_smooth_mixture_has_the_matern_covariance() -> None:
    """For an exponent at which the finest scales hardly count: (kappa d)^nu K_nu(kappa d), nu = 2 exponent - 1."""
    mixture = ScaleMixture(NoiseLaw(Bessel(exponent=1.0), reference=64), 0, 1, finest=1e-4)
    d, kappa = np.array([0.05, 0.1, 0.3, 0.6]), 8**0.5
    matern = (kappa * d) * special.kv(1, kappa * d) / (4 * np.pi * 8) / 64**2
    np.testing.assert_allclose(mixture.covariance(d), matern, rtol=2e-3)
    assert mixture.covariance(0.0) == pytest.approx(mixture.std**2)


def test_covariance_and_spectrum_are_a_transform_of_each_other() -> None:
    mixture = ScaleMixture(LAW, 0, 1)

    def ring(f: float) -> float:
        return float(2 * np.pi * f * mixture.spectrum(f) * special.j0(2 * np.pi * f * 0.07))

    total = integrate.quad(ring, 0, 400, limit=2000)[0]
    assert total == pytest.approx(float(mixture.covariance(0.07)), rel=1e-4)


def test_values_have_the_covariance() -> None:
    mixture = ScaleMixture(NoiseLaw(Bessel(), reference=16, std=1.0), seed=3, channels=400)
    points = np.array([[0.3, 0.4], [0.3, 0.45], [0.42, 0.4], [1.9, -0.8]])
    values = mixture.at(points).astype(np.float64)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.testing.assert_allclose(values @ values.T / 400, mixture.covariance(distance), atol=5 * mixture.std**2 / 20)


def test_it_is_one_function_by_any_route() -> None:
    mixture = ScaleMixture(LAW, seed=9, channels=2)
    whole = mixture.on_lattice(Shape(12, 10), 1 / 64)
    np.testing.assert_array_equal(mixture.on_lattice(Shape(5, 4), 1 / 64, (3, 2)), whole[3:8, 2:6])
    points = (np.stack(np.meshgrid(np.arange(12), np.arange(10), indexing="ij"), -1).reshape(-1, 2) + 0.5) / 64
    np.testing.assert_allclose(mixture.at(points).reshape(12, 10, 2), whole, atol=1e-6 * mixture.std)
    order = np.random.default_rng(0).permutation(120)
    np.testing.assert_array_equal(mixture.at(points[order]), mixture.at(points)[order])
    assert np.abs(ScaleMixture(LAW, 9, 2, stream=1).at(points) - mixture.at(points)).mean() > 0.2 * mixture.std


def test_operators_without_a_mixture_are_refused() -> None:
    for law in (NoiseLaw(Laplacian()), NoiseLaw(Bessel(symbol="lattice")), NoiseLaw(Bessel(), ortho=True)):
        with pytest.raises(ConfigError, match="needs a 'bessel' covariance"):
            ScaleMixture(law, 0, 1)
    with pytest.raises(ConfigError, match="finest"):
        ScaleMixture(LAW, 0, 1, finest=2.0)
