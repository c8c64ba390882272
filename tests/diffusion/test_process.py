"""The mollified process: its marginal, the scaling of the input, and the way back from the target."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from infbrush_wsi.diffusion.guidance import guided
from infbrush_wsi.diffusion.loss import point_loss
from infbrush_wsi.diffusion.process import TRAIN_TIMESTEPS, MollifiedProcess, ProcessConfig
from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.points.samplers import make_sampler

MEAN, DATA_STD, NOISE_STD = (0.3, -0.1), 0.4, 0.28
TIMES = [0, 1, 50, 300, 600, 900, 999]


def process(**changes: Any) -> MollifiedProcess:
    defaults = {"data_mean": MEAN, "data_std": DATA_STD, "noise_std": NOISE_STD}
    return MollifiedProcess(ProcessConfig(**(defaults | changes)))


def pair(count: int, generator: torch.Generator | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Clean values and noise with the moments of the configuration, (1, count, 2)."""
    clean = torch.randn(1, count, 2, generator=generator) * DATA_STD + torch.tensor(MEAN)
    return clean, torch.randn(1, count, 2, generator=generator) * NOISE_STD


def test_schedule_is_the_cosine() -> None:
    t = (torch.arange(TRAIN_TIMESTEPS, dtype=torch.float64) + 1) / TRAIN_TIMESTEPS
    expected = (
        torch.cos((t + 0.008) / 1.008 * torch.pi / 2) ** 2 / torch.cos(torch.tensor(0.008 / 1.008 * torch.pi / 2)) ** 2
    )
    found = process().alphas_cumprod
    torch.testing.assert_close(found[:-1], expected[:-1], rtol=1e-3, atol=1e-7)
    assert (found.diff() < 0).all()


@pytest.mark.parametrize("time", TIMES)
def test_marginal_mean_and_variance(time: int) -> None:
    generator = torch.Generator().manual_seed(time)
    clean, noise = pair(200_000, generator)
    p, t = process(), torch.tensor([time])
    x = p.noised(clean, noise, t)
    alpha = float(p.alphas_cumprod[time])
    variance = alpha * DATA_STD**2 + (1 - alpha) * NOISE_STD**2
    torch.testing.assert_close(x.mean(1)[0], torch.tensor(MEAN) * alpha**0.5, rtol=0, atol=0.005)
    torch.testing.assert_close(x.var(1)[0], torch.full((2,), variance), rtol=0.015, atol=0)


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("prediction", ["epsilon", "velocity"])
def test_input_and_target_have_unit_variance(time: int, prediction: Any) -> None:
    clean, noise = pair(200_000, torch.Generator().manual_seed(time))
    p, t = process(prediction=prediction), torch.tensor([time])
    for values in (p.network_input(p.noised(clean, noise, t), t), p.target(clean, noise, t)):
        torch.testing.assert_close(values.var(1)[0], torch.ones(2), rtol=0.015, atol=0)
        torch.testing.assert_close(values.mean(1)[0], torch.zeros(2), rtol=0, atol=0.01)


def test_velocity_is_uncorrelated_with_the_input_at_equal_spreads() -> None:
    p = process(data_std=NOISE_STD, data_mean=(0.0, 0.0))
    clean, noise = (torch.randn(1, 100_000, 2) * NOISE_STD for _ in range(2))
    t = torch.tensor([400])
    x, v = p.network_input(p.noised(clean, noise, t), t), p.target(clean, noise, t)
    assert abs(float((x * v).mean())) < 0.01


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("prediction", ["epsilon", "velocity"])
def test_target_leads_back(time: int, prediction: Any) -> None:
    clean, noise = pair(1000, torch.Generator().manual_seed(1))
    clean = clean.clamp(-1, 1)
    p, t = process(prediction=prediction), torch.tensor([time])
    p.alphas_cumprod = p.alphas_cumprod.clamp_min(1e-4)  # at 999 the signal is a 2e-5th: float32 cannot divide by it
    x = p.noised(clean, noise, t)
    found = p.clean(x, p.target(clean, noise, t), t)
    torch.testing.assert_close(found, clean, rtol=1e-4, atol=1e-4)
    if time:
        torch.testing.assert_close(p.noise(x, clean, t), noise, rtol=1e-3, atol=1e-3)


def test_each_image_has_its_own_time() -> None:
    clean, noise = (torch.randn(3, 50, 2) for _ in range(2))
    p, t = process(), torch.tensor([5, 500, 995])
    together = p.noised(clean, noise, t)
    for i in range(3):
        assert torch.equal(together[i : i + 1], p.noised(clean[i : i + 1], noise[i : i + 1], t[i : i + 1]))


def test_estimates_are_kept_in_the_range_of_data() -> None:
    p, t = process(), torch.tensor([900])
    assert p.clean(torch.randn(1, 99, 2) * 5, torch.randn(1, 99, 2) * 5, t).abs().max() == 1.0


def test_parity_leaves_the_input_alone() -> None:
    x = torch.randn(1, 9, 2)
    assert torch.equal(process(scale_input=False).network_input(x, torch.tensor([3])), x)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="'epsilon' or 'velocity', not 'sample'"):
        process(prediction="sample")
    with pytest.raises(ConfigError, match="beta schedule called 'cosinus'"):
        process(schedule="cosinus")


def test_guidance_extrapolates_from_the_unconditional_half() -> None:
    c, u = torch.randn(2, 2, 5, 3)
    both = torch.cat([c, u])
    torch.testing.assert_close(guided(both, 2.5), u + 2.5 * (c - u))
    torch.testing.assert_close(guided(both, 1.0), c)
    torch.testing.assert_close(guided(both, 0.0), u)


def test_loss_is_a_weighted_mean_of_squares() -> None:
    output, target, weight = torch.randn(2, 7, 3), torch.randn(2, 7, 3), torch.rand(2, 7)
    expected = torch.zeros(2)
    for b in range(2):
        terms = [weight[b, i] * sum((output[b, i, c] - target[b, i, c]) ** 2 for c in range(3)) / 3 for i in range(7)]
        expected[b] = sum(terms) / weight[b].sum()
    torch.testing.assert_close(point_loss(output, target, weight), expected)
    assert point_loss(output.half(), target, weight).dtype == torch.float32


def test_loss_ignores_pixels_of_zero_weight() -> None:
    output, target, weight = torch.randn(1, 6, 3), torch.randn(1, 6, 3), torch.tensor([[1.0, 0, 1, 0, 1, 1]])
    expected = point_loss(output[:, weight[0] > 0], target[:, weight[0] > 0], torch.ones(1, 4))
    target[0, 1] = 1e6
    torch.testing.assert_close(point_loss(output, target, weight), expected)


def test_loss_of_an_image_without_valid_pixels_is_zero_with_zero_gradient() -> None:
    output = torch.randn(1, 6, 3, requires_grad=True)
    loss = point_loss(output, torch.zeros(1, 6, 3), torch.zeros(1, 6))
    loss.sum().backward()
    assert loss.item() == 0
    assert output.grad is not None
    assert (output.grad == 0).all()


@pytest.mark.parametrize("name", ["mixed", "uniform"])
def test_loss_is_unbiased_over_draws(name: str) -> None:
    import numpy as np

    shape = Shape(24, 20)
    error = torch.randn(shape.count, 3, generator=torch.Generator().manual_seed(0)).cumsum(0) / 10
    full = error.square().mean()
    sampler = make_sampler(name, **({"window": 8} if name == "mixed" else {}))
    losses = []
    for seed in range(2000):
        draw = sampler.draw(np.random.default_rng(seed), shape, 160)
        at = torch.from_numpy(draw.index_yx[:, 0] * shape.w + draw.index_yx[:, 1]).long()
        losses.append(point_loss(error[at][None], torch.zeros(1, 160, 3), torch.from_numpy(draw.weight)[None]))
    found = torch.cat(losses).double()
    assert abs(found.mean() - full) < 4 * found.std() / len(found) ** 0.5


@pytest.mark.parametrize("prediction", ["epsilon", "velocity"])
def test_min_snr_weights_make_the_loss_that_of_x0(prediction):
    process = MollifiedProcess(ProcessConfig(prediction=prediction, data_std=0.4, data_mean=(0.1, 0.0, -0.1)))
    timestep = torch.tensor([50, 300, 600, 900])
    x, output = torch.zeros(4, 5, 3), torch.zeros(4, 5, 3)
    step = 1e-3
    moved = process.clean(x, output + step, timestep) - process.clean(x, output, timestep)
    error = moved.square().mean(dim=(1, 2)) / 0.4**2 / step**2
    alpha = process.alphas_cumprod[timestep]
    snr = (alpha * 0.4**2 / ((1 - alpha) * process.config.noise_std**2)).float()
    for gamma in (0.5, 5.0):
        expected = snr.clamp_max(gamma) * error
        torch.testing.assert_close(process.min_snr_weight(timestep, gamma), expected, rtol=2e-3, atol=1e-7)
