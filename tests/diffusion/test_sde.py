"""Marginals against integration of the SDE, the schedule's discretisation, and reverse steps against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import integrate

from infbrush_wsi.diffusion.process import TRAIN_TIMESTEPS, MollifiedProcess, ProcessConfig
from infbrush_wsi.diffusion.reverse import reverse_table
from infbrush_wsi.diffusion.sde import VP_SDE, TraceClassSDE
from infbrush_wsi.diffusion.steps import Step, make_scheduler, step_table
from infbrush_wsi.errors import ConfigError

SDE = TraceClassSDE()


@pytest.mark.parametrize("t", [1e-3, 0.1, 0.5, 1.0])
def test_marginals_solve_the_equations_of_mean_and_variance(t: float) -> None:
    """dm = -alpha m / 2 dt and dv = alpha (1 - v) dt for X_0 = 1 and unit Q."""

    def moments(s: float, y: list[float]) -> list[float]:
        alpha = 0.1 + 19.9 * s
        return [-0.5 * alpha * y[0], alpha * (1 - y[1])]

    solved = integrate.solve_ivp(moments, (0, t), [1.0, 0.0], rtol=1e-10, atol=1e-12).y[:, -1]
    time = torch.tensor([t], dtype=torch.float64)
    assert float(SDE.signal(time)) == pytest.approx(solved[0], rel=1e-7)
    assert float(SDE.variance(time)) == pytest.approx(solved[1], rel=1e-7)
    assert float(SDE.signal(time)) == pytest.approx(math.exp(-(t**2) * 19.9 / 4 - 0.1 * t / 2), rel=1e-12)


def test_the_variance_is_exact_in_float32_near_zero() -> None:
    time = torch.tensor([1e-3])
    assert float(SDE.variance(time)) == pytest.approx(float(SDE.variance(time.double())), rel=1e-6)


def test_score_and_noise_are_two_names_of_one_thing() -> None:
    noise, time = torch.randn(3, 2, 4, 4), torch.tensor([0.01, 0.4, 1.0])
    score = SDE.score(noise, time)
    torch.testing.assert_close(SDE.noise(score, time), noise)
    assert SDE.score_loss(score, noise, time).abs().max() < 1e-9
    off = SDE.score_loss(score + 1.0, noise, time)
    torch.testing.assert_close(off, 0.5 * SDE.variance(time))


def test_the_score_of_a_gaussian_minimises_the_loss() -> None:
    """X_0 ~ N(0, c² Q), here one frequency: E[eta | y] = sqrt(b) y / (a² c² + b)."""
    generator = torch.Generator().manual_seed(0)
    time, c = torch.full((200_000,), 0.3), 0.8
    clean, noise = torch.randn(2, 200_000, 1, generator=generator)
    y = SDE.noised(c * clean, noise, time)
    spread = SDE.signal(time) ** 2 * c**2 + SDE.variance(time)
    losses = [float(SDE.score_loss(-f * y / spread[:, None], noise, time).mean()) for f in (0.8, 1.0, 1.2)]
    assert losses[1] == min(losses)
    left = float((1 - SDE.variance(time) / spread)[0])
    assert losses[1] == pytest.approx(0.5 * left, rel=0.02)


def test_times_keep_clear_of_zero() -> None:
    times = SDE.times(10_000, torch.Generator().manual_seed(1))
    assert float(times.min()) >= SDE.cutoff
    assert float(times.max()) <= 1
    assert float(times.mean()) == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ConfigError, match="below the cut-off"):
        SDE.score_loss(torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([1e-4]))


def test_the_process_has_the_marginals_of_the_sde() -> None:
    process = MollifiedProcess(ProcessConfig(schedule=VP_SDE))
    time = (torch.arange(TRAIN_TIMESTEPS, dtype=torch.float64) + 1) / TRAIN_TIMESTEPS
    torch.testing.assert_close(process.alphas_cumprod, SDE.signal(time) ** 2)
    torch.testing.assert_close((1 - SDE.betas(TRAIN_TIMESTEPS)).cumprod(0), process.alphas_cumprod)
    scheduler = make_scheduler("ddim", VP_SDE)
    torch.testing.assert_close(scheduler.alphas_cumprod.double(), process.alphas_cumprod, rtol=1e-4, atol=1e-9)


def test_unbounded_data_are_not_clamped() -> None:
    x, output, t = torch.full((1, 1, 1), 5.0), torch.zeros(1, 1, 1), torch.tensor([0])
    given = {"schedule": VP_SDE, "prediction": "epsilon", "data_mean": (0.0,)}
    assert float(MollifiedProcess(ProcessConfig(**given)).clean(x, output, t)) == 1.0
    assert float(MollifiedProcess(ProcessConfig(**given, bounded=False)).clean(x, output, t)) > 4.9


def variance_after(table: list[Step], c: float) -> float:
    """Variance of the samples of N(0, c²) by a table, from N(0, 1), with the exact prediction at every step."""
    variance = 1.0
    for step in table:
        time = torch.tensor([(step.timestep + 1) / TRAIN_TIMESTEPS], dtype=torch.float64)
        a, b = float(SDE.signal(time)), float(SDE.variance(time))
        gain = a * c**2 / (a**2 * c**2 + b)
        variance = (step.state + step.predictions[0] * gain) ** 2 * variance + step.noise**2
    return variance


@pytest.mark.parametrize("flow", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("c", [0.3, 1.0, 1.7])
def test_reverse_steps_lead_to_the_law_of_the_data(flow: float, c: float) -> None:
    """The last step returns the mean of x_0, whose variance lacks that of the noise at the cut-off."""
    found = variance_after(reverse_table(SDE, 1000, flow), c)
    assert found == pytest.approx(c**2, rel=0.02)
    coarse = variance_after(reverse_table(SDE, 100, flow), c)
    assert abs(coarse - c**2) > abs(found - c**2) - 1e-9  # equal for c = 1, where the flow stands still


def test_the_flow_draws_no_noise_and_agrees_with_ddim() -> None:
    flow = reverse_table(SDE, 500, 1.0)
    assert all(step.noise == 0 for step in flow)
    ddim = step_table(make_scheduler("ddim", VP_SDE), 500)
    assert variance_after(flow, 0.6) == pytest.approx(variance_after(ddim, 0.6), rel=0.02)


def test_wrong_settings_are_told() -> None:
    with pytest.raises(ConfigError, match="between 1 and 1000"):
        reverse_table(SDE, 0)
    with pytest.raises(ConfigError, match="between 0 and 1, not 2"):
        reverse_table(SDE, 10, 2.0)
    with pytest.raises(ConfigError, match="beta_min <= beta_max"):
        TraceClassSDE(beta_min=3.0, beta_max=1.0)
    with pytest.raises(ConfigError, match="cut-off"):
        TraceClassSDE(cutoff=0.0)
    assert reverse_table(SDE, 1) == [Step(999, 0.0, (1.0,), 0.0)]
