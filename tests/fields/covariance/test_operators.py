"""Symbols, their symmetry, and their way through plain values."""

import json

import numpy as np
import pytest

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.fields.covariance import (
    Bessel,
    Combined,
    FiniteRank,
    Laplacian,
    NoiseLaw,
    Standard,
    covariance_from_dict,
    covariance_to_dict,
)
from infbrush_wsi.fields.covariance.law import frequencies

ALL = [Standard(), Laplacian(), Bessel(symbol="lattice"), FiniteRank((5, 3), seed=4), Combined(weight=0.3)]


@pytest.mark.parametrize("covariance", ALL, ids=lambda c: type(c).__name__)
def test_a_symbol_is_real_positive_and_even(covariance: Standard) -> None:
    f = np.random.default_rng(0).uniform(-20, 20, (200, 2)).round(1)
    r = covariance.amplitude(f, (1 / 64, 1 / 64))
    assert r.shape == (200,)
    assert (r >= 0).all()
    np.testing.assert_array_equal(r, covariance.amplitude(-f, (1 / 64, 1 / 64)))


@pytest.mark.parametrize("covariance", ALL, ids=lambda c: type(c).__name__)
def test_operators_travel_as_json(covariance: Standard) -> None:
    assert covariance_from_dict(json.loads(json.dumps(covariance_to_dict(covariance)))) == covariance
    law = NoiseLaw(covariance, reference=48, std=0.5, ortho=True)
    assert NoiseLaw.from_dict(json.loads(json.dumps(law.to_dict()))) == law


def test_the_published_laplacian_leaves_the_mean_alone_and_ours_does_not() -> None:
    f = frequencies(Shape(16, 16))
    published = Laplacian(symbol="lattice", noised_mean=False).amplitude(f, (1 / 16, 1 / 16))
    ours = Laplacian(symbol="lattice").amplitude(f, (1 / 16, 1 / 16))
    assert published[0, 0] == 0
    assert ours[0, 0] == ours[0, 1] == ours.max()
    np.testing.assert_array_equal(ours.ravel()[1:], published.ravel()[1:])


def test_the_lattice_symbol_is_that_of_the_five_point_stencil() -> None:
    n = 12
    wave = np.cos(2 * np.pi * (3 * np.arange(n)[:, None] + 2 * np.arange(n)[None]) / n)
    stencil = n**2 * (4 * wave - sum(np.roll(wave, s, a) for s in (1, -1) for a in (0, 1)))
    symbol = Laplacian(scale=1.0, symbol="lattice").amplitude(np.array([3.0, 2.0]), (1 / n, 1 / n)) ** (-1 / 0.55)
    np.testing.assert_allclose(stencil, symbol * wave, rtol=1e-9, atol=1e-6)


def test_a_finite_rank_operator_has_the_rank_and_the_range_of_the_published_one() -> None:
    r = FiniteRank((5, 3), seed=1).amplitude(frequencies(Shape(32, 32)), (1 / 32, 1 / 32))
    assert (r > 0).sum() == 9 * 5
    assert r[r > 0].min() >= 0.2 * 2**0.5
    assert r.max() <= 2**0.5
    assert len(np.unique(r[r > 0])) == 23  # pairs share theirs
    assert not np.array_equal(r, FiniteRank((5, 3), seed=2).amplitude(frequencies(Shape(32, 32)), (1 / 32, 1 / 32)))


def test_trace_class_is_told_by_the_exponent() -> None:
    assert not Standard().trace_class
    assert Bessel().trace_class
    assert not Bessel(exponent=0.5).trace_class
    assert not Combined(Laplacian(exponent=0.4)).trace_class


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"kind": "matern"}, "'kind' of standard, laplacian"),
        ({"kind": "bessel", "shift": -1.0}, "shift must be a positive number"),
        ({"kind": "bessel", "nu": 1.0}, "nu"),
        ({"kind": "laplacian", "symbol": "exact"}, "symbol must be 'continuous' or 'lattice'"),
        ({"kind": "fno", "modes": [0, 4]}, "modes must be two numbers"),
    ],
)
def test_wrong_operators_are_told(values: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        covariance_from_dict(values)
