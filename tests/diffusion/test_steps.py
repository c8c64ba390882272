"""The table of coefficients against diffusers' schedulers, and the order of convergence on a solvable problem."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.process import MollifiedProcess, ProcessConfig
from infbrush_wsi.diffusion.sampling import predict_clean, sample_points
from infbrush_wsi.diffusion.steps import SCHEDULERS, Step, make_scheduler, step_table
from infbrush_wsi.errors import ConfigError

COSINE = "squaredcos_cap_v2"


def trajectory(scheduler: Any, steps: int, eta: float, x: Tensor, predictions: Tensor, noises: Tensor) -> Tensor:
    """Diffusers' own loop with given predictions."""
    scheduler = copy.deepcopy(scheduler)
    scheduler.set_timesteps(steps)
    out = []
    for k, t in enumerate(scheduler.timesteps):
        extra = {"eta": eta, "variance_noise": noises[k]} if eta else {}
        x = scheduler.step(predictions[k], t, x, **extra, return_dict=False)[0]
        out.append(x)
    return torch.stack(out)


@pytest.mark.parametrize(("name", "eta"), [("ddim", 0.0), ("ddim", 0.5), ("ddim", 1.0), ("dpmsolver++", 0.0)])
@pytest.mark.parametrize("schedule", [COSINE, "linear"])
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 50])
def test_table_reproduces_diffusers(name: str, eta: float, schedule: str, steps: int) -> None:
    generator = torch.Generator().manual_seed(steps)
    x = torch.randn(11, generator=generator, dtype=torch.float64)
    predictions, noises = torch.randn(2, steps, 11, generator=generator, dtype=torch.float64)
    scheduler = make_scheduler(name, schedule)
    expected = trajectory(scheduler, steps, eta, x, predictions, noises)
    table = step_table(scheduler, steps, eta)
    found, past = [], []
    for k, step in enumerate(table):
        past = [predictions[k], *past]
        x = step.apply(x, past, noises[k])
        found.append(x)
    torch.testing.assert_close(torch.stack(found), expected, rtol=1e-5, atol=1e-5)
    assert max(len(s.predictions) for s in table) <= (1 if name == "ddim" else 2)
    assert any(s.noise for s in table) == bool(eta and steps > 1)
    scheduler.set_timesteps(steps)
    assert [s.timestep for s in table] == scheduler.timesteps.tolist()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_last_step_returns_the_prediction(name: str) -> None:
    for steps in (1, 5, 30):
        last = step_table(make_scheduler(name, COSINE), steps)[-1]
        assert last.state == pytest.approx(0.0, abs=1e-5)
        assert sum(last.predictions) == pytest.approx(1.0, abs=1e-5)


def test_ddim_steps_follow_the_formula() -> None:
    alphas = MollifiedProcess(ProcessConfig()).alphas_cumprod
    table = step_table(make_scheduler("ddim", COSINE), 10)
    for step, after in zip(table, [*table[1:], None], strict=True):
        a, b = alphas[step.timestep], alphas[after.timestep] if after else torch.tensor(1.0)
        state = ((1 - b) / (1 - a)).sqrt()
        assert step.state == pytest.approx(float(state), rel=1e-4, abs=1e-6)
        assert step.predictions[0] == pytest.approx(float(b.sqrt() - state * a.sqrt()), rel=1e-4)


def test_reading_the_table_leaves_the_scheduler_alone() -> None:
    scheduler = make_scheduler("dpmsolver++", COSINE)
    scheduler.set_timesteps(13)
    step_table(scheduler, 5)
    assert len(scheduler.timesteps) == 13


def test_noise_is_left_out_where_there_is_none() -> None:
    x, m, z = torch.ones(2), [torch.ones(2)], torch.full((2,), 100.0)
    assert torch.equal(Step(1, 0.5, (0.5,), 0.0).apply(x, m, z), x)
    assert torch.equal(Step(1, 0.5, (0.5,), 0.01).apply(x, m), x)
    assert torch.equal(Step(1, 0.5, (0.5,), 0.01).apply(x, m, z), x + 1)


@pytest.mark.parametrize("steps", [0, -3, 1001])
def test_impossible_step_counts_are_refused(steps: int) -> None:
    with pytest.raises(ConfigError, match=f"between 1 and 1000, not {steps}"):
        step_table(make_scheduler("ddim", COSINE), steps)


def test_other_refusals() -> None:
    with pytest.raises(ConfigError, match=r"dpmsolver\+\+, ddim"):
        make_scheduler("euler", COSINE)
    with pytest.raises(ConfigError, match="eta is DDIM's"):
        step_table(make_scheduler("dpmsolver++", COSINE), 5, eta=0.5)


class Gaussian:
    """Data N(0, s²) under noise n: the best prediction and the exact flow are known in closed form."""

    def __init__(self, prediction: Any = "velocity") -> None:
        self.s, n = 0.4, 0.28
        config = ProcessConfig(data_std=self.s, noise_std=n, data_mean=(0.0,), prediction=prediction)
        self.process = MollifiedProcess(config)
        self.n = n

    def std(self, t: Tensor) -> Tensor:
        signal, sigma = self.process.signal_noise(t)
        return (signal**2 * self.s**2 + sigma**2 * self.n**2).sqrt()

    def network(self, scaled: Tensor, t: Tensor, condition: ConditionBatch) -> Tensor:
        """The output that belongs to E[x_0 | x_t]."""
        signal, _ = self.process.signal_noise(t)
        x = scaled * self.std(t)
        clean = signal * self.s**2 / self.std(t) ** 2 * x
        return self.process.target(clean, self.process.noise(x, clean, t), t)

    def error(self, name: str, steps: int) -> float:
        """Of the sampler against the probability flow, which keeps x_t / std_t."""
        noise = torch.linspace(-0.5, 0.5, 11)[None, :, None]
        table = step_table(make_scheduler(name, COSINE), steps)
        found = sample_points(self.network, self.process, noise, ConditionBatch.none(1), table)
        exact = noise * self.s / self.std(torch.tensor([table[0].timestep]))
        return float((found - exact).abs().max())


@pytest.mark.parametrize("prediction", ["velocity", "epsilon"])
@pytest.mark.parametrize(("name", "order"), [("ddim", 1.0), ("dpmsolver++", 2.0)])
def test_order_of_convergence(name: str, order: float, prediction: Any) -> None:
    problem, counts = Gaussian(prediction), np.array([10, 20, 25, 40, 50, 100])
    errors = [problem.error(name, int(n)) for n in counts]
    # The solver of second order begins and ends with a step of the first, which costs it some of its slope.
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.35), errors


def test_second_order_is_worth_it() -> None:
    problem = Gaussian()
    assert problem.error("dpmsolver++", 20) < 0.3 * problem.error("ddim", 20)


def test_guidance_uses_both_halves() -> None:
    problem = Gaussian()
    seen: list[tuple[int, list[bool]]] = []

    def network(x: Tensor, t: Tensor, condition: ConditionBatch) -> Tensor:
        seen.append((len(x), condition.null.tolist()))
        return torch.where(condition.null[:, None, None], 0.1, 0.3) * torch.ones_like(x)

    x, t = torch.randn(2, 5, 1) * 0.1, torch.tensor([500, 500])
    condition = ConditionBatch(torch.zeros(2, dtype=torch.bool), labels=torch.tensor([0, 1]))
    plain = predict_clean(network, problem.process, x, t, condition, 1.0)
    strong = predict_clean(network, problem.process, x, t, condition, 3.0)
    assert seen == [(2, [False, False]), (4, [False, False, True, True])]
    torch.testing.assert_close(plain, problem.process.clean(x, torch.full_like(x, 0.3), t))
    torch.testing.assert_close(strong, problem.process.clean(x, torch.full_like(x, 0.1 + 3 * 0.2), t))


def test_points_are_sampled_each_for_itself() -> None:
    """Nothing in the sampler couples points: the same noise gives the same value in any company."""
    problem, table = Gaussian(), step_table(make_scheduler("dpmsolver++", COSINE), 8)
    noise = torch.randn(1, 30, 1) * 0.28
    whole = sample_points(problem.network, problem.process, noise, ConditionBatch.none(1), table)
    part = sample_points(problem.network, problem.process, noise[:, 10:20], ConditionBatch.none(1), table)
    torch.testing.assert_close(part, whole[:, 10:20], rtol=1e-6, atol=1e-7)
