"""Between two conditions."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.conditioning.encoders import interpolate
from infbrush_wsi.errors import ConditionError

RNG = np.random.default_rng(2)


def unit(*shape: int) -> np.ndarray:
    values = RNG.normal(size=shape)
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def test_unit_vectors_go_along_the_great_circle_at_an_even_pace() -> None:
    a, b = unit(2, 24)
    found = interpolate(a, b, np.linspace(0, 1, 9))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found[[0, -1]], [a, b], atol=1e-6)
    steps = np.arccos((found[1:].astype(float) * found[:-1]).sum(1))
    np.testing.assert_allclose(steps, np.arccos(float(a @ b)) / 8, rtol=1e-4)
    assert np.linalg.matrix_rank(found, tol=1e-5) == 2
    halved = interpolate(a.astype(np.float16), b.astype(np.float16), 0.5)
    np.testing.assert_allclose(halved, (a + b) / np.linalg.norm(a + b), atol=2e-3)


def test_other_vectors_go_straight() -> None:
    a, b = 3 * RNG.normal(size=(2, 24))
    np.testing.assert_allclose(interpolate(a, b, 0.25), 0.75 * a + 0.25 * b, rtol=1e-5, atol=1e-6)
    assert interpolate(a, b, [0.1, 0.2]).shape == (2, 24)
    u, v = unit(2, 24)
    np.testing.assert_allclose(interpolate(u, v, 0.5, "linear"), (u + v) / 2, rtol=1e-5, atol=1e-6)


def test_tokens_go_each_their_own_way_and_equal_ones_stay() -> None:
    a, b = unit(2, 4, 24)
    b[1] = a[1]
    found = interpolate(a, b, [0.0, 0.3])
    assert found.shape == (2, 4, 24)
    np.testing.assert_allclose(found[:, 1], np.stack([a[1]] * 2), atol=1e-6)
    np.testing.assert_allclose(found[1, 2], interpolate(a[2], b[2], 0.3), atol=1e-6)
    near = a + 1e-5 * unit(4, 24)
    assert np.isfinite(interpolate(a, near / np.linalg.norm(near, axis=-1, keepdims=True), 0.5)).all()


def test_what_has_no_between() -> None:
    a, b = unit(2, 8)
    for bad, message in (
        ((a, b[:4], 0.5), "one shape"), ((a, b, [[0.5]]), "one shape"), ((a, np.nan * b, 0.5), "not finite"),
        ((a, "b", 0.5), "numbers"), ((a, -a, 0.5), "opposite ways"), ((a, b, 0.5, "cubic"), "not 'cubic'"),
        ((2 * a, b, 0.5, "spherical"), "length 1"),
    ):  # fmt: skip
        with pytest.raises(ConditionError, match=message):
            interpolate(*bad)  # type: ignore[arg-type]
