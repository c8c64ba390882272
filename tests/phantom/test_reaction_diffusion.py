"""The solver against the method of lines, and its exact parts against closed forms."""

import numpy as np
import pytest
from scipy import integrate

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.phantom.reaction_diffusion import ReactionDiffusion


def method_of_lines(equation: ReactionDiffusion, state: np.ndarray, time: float) -> np.ndarray:
    """Finite volumes with closed walls and scipy's own integrator."""
    n, width = state.shape[-1], 2.0 / state.shape[-1]

    def rate(_: float, flat: np.ndarray) -> np.ndarray:
        u, v = flat.reshape(2, n, n)
        padded = np.pad(flat.reshape(2, n, n), ((0, 0), (1, 1), (1, 1)), mode="edge")
        around = padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1] + padded[:, 1:-1, 2:] + padded[:, 1:-1, :-2]
        flow = (around - 4 * flat.reshape(2, n, n)) / width**2
        du = equation.diffusion_u * flow[0] + u - u**3 - equation.k - v
        dv = equation.diffusion_v * flow[1] + u - v
        return np.stack([du, dv]).ravel()

    return integrate.solve_ivp(rate, (0, time), state.ravel(), rtol=1e-9, atol=1e-10).y[:, -1].reshape(2, n, n)


def test_it_agrees_with_the_method_of_lines_to_second_order() -> None:
    state = np.random.default_rng(0).standard_normal((2, 12, 12))
    truth = method_of_lines(ReactionDiffusion(), state, 1.0)
    errors = [np.abs(ReactionDiffusion(step=h).solve(state, 1.0) - truth).max() for h in (0.05, 0.025, 0.0125)]
    assert errors[2] < 2e-4
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.25)


def test_a_cosine_decays_as_the_stencil_says_and_walls_hold_the_mass() -> None:
    class NoReaction(ReactionDiffusion):
        def _reaction(self, values: np.ndarray) -> np.ndarray:
            return np.zeros_like(values)

    n, equation = 16, NoReaction()
    wave = np.cos(np.pi * 3 * (np.arange(n) + 0.5) / n)
    state = np.broadcast_to(1.0 + wave[:, None], (2, n, n))
    after = equation.solve(state, 2.0)
    eigenvalue = (2 * np.sin(np.pi * 3 / n / 2) * n / 2) ** 2
    for part, coefficient in zip(after, (1e-3, 5e-3), strict=True):
        np.testing.assert_allclose(
            part,
            1 + np.exp(-coefficient * 2 * eigenvalue) * state[0] - np.exp(-coefficient * 2 * eigenvalue),
            atol=1e-12,
        )
        assert part.mean() == pytest.approx(1.0)


def test_samples_are_patterns_larger_than_a_cell() -> None:
    found = ReactionDiffusion(step=0.05).samples(2, 64, seed=1)
    assert found.shape == (2, 64, 64)
    np.testing.assert_array_equal(found[:1], ReactionDiffusion(step=0.05).samples(1, 64, seed=1))
    for u in found:
        assert 0.05 < u.std() < 1.5
        assert np.diff(u, axis=1).std() < 0.7 * u.std()


def test_wrong_settings_are_told() -> None:
    with pytest.raises(ConfigError, match=r"at most 0\.1"):
        ReactionDiffusion(step=1.0)
