"""Strength and covariance of the noise against closed forms, and the published numbers."""

import numpy as np
import pytest

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.fields.covariance import Bessel, Laplacian, NoiseLaw, SpectralField, Standard, coloured

PUBLISHED = Laplacian(symbol="lattice", noised_mean=False)


@pytest.mark.parametrize(("side", "variance"), [(28, 0.161), (32, 0.127), (64, 0.0351), (128, 0.00952)])
def test_the_published_convention_has_the_published_variance(side: int, variance: float) -> None:
    law = NoiseLaw(PUBLISHED, reference=64, ortho=True)
    assert law.variance(Shape(side, side)) == pytest.approx(variance, rel=6e-3)


def test_function_values_differ_from_the_published_ones_by_the_resolution_only() -> None:
    ours, published = NoiseLaw(PUBLISHED, reference=32), NoiseLaw(PUBLISHED, reference=32, ortho=True)
    for side in (32, 64, 128):
        ratio = ours.variance(Shape(side, side)) / published.variance(Shape(side, side))
        assert ratio == pytest.approx((side / 32) ** 2)
        assert published.value_scale(Shape(side, side)) == pytest.approx(32 / side)
    assert ours.value_scale(Shape(64, 64)) == 1.0


def test_trace_class_noise_keeps_its_strength_across_resolutions_and_white_noise_does_not() -> None:
    smooth, white = NoiseLaw(Bessel(exponent=0.8), reference=32), NoiseLaw(Standard(), reference=32)
    at = {side: Shape(side, side) for side in (32, 64, 256)}
    assert smooth.variance(at[256]) / smooth.variance(at[64]) == pytest.approx(1, abs=0.01)
    assert white.variance(at[64]) / white.variance(at[32]) == pytest.approx(4)


def test_std_is_that_of_a_pixel_of_the_reference_lattice() -> None:
    law = NoiseLaw(Bessel(), reference=48, std=0.7)
    assert law.variance(Shape(48, 48)) == pytest.approx(0.49)


@pytest.mark.parametrize("ortho", [False, True])
@pytest.mark.parametrize(("shape", "extent"), [(Shape(16, 16), (1.0, 1.0)), (Shape(10, 15), (1.0, 1.5))])
def test_realisations_have_the_covariance_of_the_closed_form(
    shape: Shape, extent: tuple[float, float], ortho: bool
) -> None:
    law = NoiseLaw(Bessel(exponent=0.7), reference=20, std=1.3, ortho=ortho)
    fields = [SpectralField(law, seed, 16, extent).on_lattice(shape) for seed in range(60)]
    values = np.concatenate([f.transpose(2, 0, 1) for f in fields]).astype(np.float64)
    step = extent[0] / shape.h
    for dy, dx in ((0, 0), (0, 1), (3, 2), (shape.h // 2, 1)):
        measured = (values * np.roll(values, (dy, dx), (1, 2))).mean()
        expected = law.covariance_at(np.array([dy * step, dx * step]), shape, extent)
        # 960 fields; neighbouring pixels are correlated, so that they are worth little more than that.
        assert measured == pytest.approx(expected, abs=4.5 * law.variance(shape, extent) / 960**0.5)


def test_white_noise_of_a_field_is_white_on_every_lattice() -> None:
    shape = Shape(9, 12)
    field = SpectralField(NoiseLaw(Standard(), reference=32, ortho=True), 3, 4000, (0.75, 1.0))
    values = field.on_lattice(shape).reshape(-1, 4000).astype(np.float64)
    np.testing.assert_allclose(values @ values.T / 4000, np.eye(shape.count), atol=6 / 4000**0.5)


def test_one_seed_is_one_function_at_all_resolutions() -> None:
    field = SpectralField(NoiseLaw(Bessel(), reference=16), seed=5, channels=2, extent_yx=(1.0, 2.0))
    coarse, fine = (np.fft.fft2(field.on_lattice(Shape(n, 2 * n)), axes=(0, 1), norm="forward") for n in (16, 48))
    for ky in range(-7, 8):
        for kx in range(-15, 16):
            phase = np.exp(1j * np.pi * (ky / 16 + kx / 32) - 1j * np.pi * (ky / 48 + kx / 96))
            np.testing.assert_allclose(coarse[ky, kx], fine[ky, kx] * phase, atol=1e-7)


def test_other_seeds_streams_and_channels_are_other_functions() -> None:
    law, shape = NoiseLaw(Bessel(), reference=16, std=1.0), Shape(16, 16)
    base = SpectralField(law, 1, 2).on_lattice(shape)
    np.testing.assert_array_equal(base, SpectralField(law, 1, 2).on_lattice(shape))
    for other in (SpectralField(law, 2, 2), SpectralField(law, 1, 2, stream=1)):
        assert np.abs(other.on_lattice(shape) - base).mean() > 0.3
    assert np.abs(base[..., 0] - base[..., 1]).mean() > 0.3


def test_colouring_follows_the_matrix_of_the_operator_and_can_be_undone() -> None:
    law = NoiseLaw(Bessel(), reference=8, std=1.0)
    shape = Shape(6, 8)
    u = np.random.default_rng(1).normal(size=(3, 6, 8))
    matrix = np.stack([coloured(law, e.reshape(6, 8)).ravel() for e in np.eye(48)], axis=1)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    np.testing.assert_allclose(coloured(law, u).reshape(3, -1), u.reshape(3, -1) @ matrix.T, atol=1e-12)
    np.testing.assert_allclose(coloured(law, coloured(law, u), power=-1.0), u, atol=1e-10)
    np.testing.assert_allclose(coloured(law, u, power=2.0), coloured(law, coloured(law, u)), atol=1e-12)
    white = law.white_scale(shape) ** 2
    assert white * (matrix @ matrix.T)[0, 9] == pytest.approx(law.covariance_at(np.array([1 / 6, 1 / 8]), shape))


def test_wrong_laws_and_domains_are_told() -> None:
    with pytest.raises(ConfigError, match="reference must be"):
        NoiseLaw(reference=1)
    with pytest.raises(ConfigError, match="std must be positive"):
        NoiseLaw(std=0.0)
    with pytest.raises(RegionError, match="positive sides"):
        SpectralField(NoiseLaw(), 0, 1, (0.0, 1.0))
    with pytest.raises(RegionError, match="positive number of rows"):
        SpectralField(NoiseLaw(), 0, 1).on_lattice(Shape(0, 4))
    with pytest.raises(ConfigError, match="needs a covariance"):
        NoiseLaw.from_dict({"reference": 4})
