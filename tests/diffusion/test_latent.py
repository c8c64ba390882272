"""Latent diffusion against closed forms: for Gaussian latents the best network is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from infbrush_wsi.diffusion.latent import latent_losses, latent_scheduler, sample_latents
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.models.infdiff import LatentDenoiser

MEAN, STD = torch.tensor([3.0, -1.0, 0.5]), torch.tensor([0.2, 2.0, 1.0])


class Gaussian(LatentDenoiser):
    """The noise that is expected in a standardised Gaussian latent: E[ε | u] = √(1 - ᾱ) u."""

    def forward(self, unit: Tensor, timestep: Tensor) -> Tensor:
        alpha = latent_scheduler(self.config.beta).alphas_cumprod[timestep]
        return (1 - alpha).sqrt()[:, None] * unit


@pytest.fixture
def gaussian() -> Gaussian:
    net = Gaussian(latent_dim=3, hidden=4, layers=2, time_width=8)
    net.standardise(MEAN, STD)
    return net.eval()


@pytest.mark.parametrize(("steps", "error"), [(50, 0.2), (1000, 0.04)])
def test_the_exact_score_of_a_gaussian_gives_it_back(gaussian: Gaussian, steps: int, error: float) -> None:
    """With all steps to the accuracy of 4000 draws; with few, DDPM's steps shrink the deviation."""
    found = sample_latents(gaussian, list(range(4000)), steps=steps)
    assert found.dtype == torch.float32
    assert torch.equal(((found.mean(0) - MEAN).abs() < 5 * STD / 4000**0.5), torch.ones(3, dtype=torch.bool))
    torch.testing.assert_close(found.std(0), STD, rtol=error, atol=0)
    assert np.abs(np.corrcoef(found.numpy().T) - np.eye(3)).max() < 0.08


def test_a_latent_depends_on_its_seed_only(gaussian: Gaussian) -> None:
    together = sample_latents(gaussian, [5, 6, 2**62], steps=20)
    alone = torch.cat([sample_latents(gaussian, [seed], steps=20) for seed in (5, 6, 2**62)])
    torch.testing.assert_close(together, alone)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_the_schedule_is_ddpms_with_one_beta() -> None:
    """ᾱ_t = (1 - β)^(t + 1); with all steps and eta = 1, DDPM's posterior mean and variance."""
    beta = 0.008
    t = torch.arange(1000, dtype=torch.float64)
    alphas = (1 - beta) ** (t + 1)
    torch.testing.assert_close(latent_scheduler(beta).alphas_cumprod.double(), alphas, rtol=1e-3, atol=0)
    from infbrush_wsi.diffusion.steps import step_table

    step = next(s for s in step_table(latent_scheduler(beta), 1000, eta=1.0) if s.timestep == 500)
    now, before = float(alphas[500]), float(alphas[499])
    assert step.predictions[0] == pytest.approx(before**0.5 * beta / (1 - now), rel=1e-3)
    assert step.state == pytest.approx((1 - beta) ** 0.5 * (1 - before) / (1 - now), rel=1e-3)
    assert step.noise**2 == pytest.approx(beta * (1 - before) / (1 - now), rel=1e-3)


def test_the_loss_is_the_mean_absolute_error_of_the_noise(gaussian: Gaussian) -> None:
    torch.manual_seed(0)
    latent, noise = MEAN + STD * torch.randn(4, 3), torch.randn(4, 3)
    t = torch.tensor([0, 10, 500, 999])
    alpha = ((1 - 0.008) ** (t + 1.0))[:, None]
    noisy = alpha.sqrt() * (latent - MEAN) / STD + (1 - alpha).sqrt() * noise
    expected = ((1 - alpha).sqrt() * noisy - noise).abs().mean(1)
    torch.testing.assert_close(latent_losses(gaussian, gaussian, latent, noise, t), expected, rtol=1e-3, atol=1e-4)


def test_it_learns_a_mixture(one_thread: None) -> None:
    """Two clusters far apart; the samples lie at them and not between."""
    torch.manual_seed(0)
    centres = torch.tensor([[4.0, 1.0], [-4.0, 1.0]])
    latents = centres[torch.arange(256) % 2] + 0.2 * torch.randn(256, 2)
    net = LatentDenoiser(latent_dim=2, hidden=64, layers=3, time_width=16)
    net.standardise(latents.mean(0), latents.std(0))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(600):
        t, noise = torch.randint(0, 1000, (256,)), torch.randn(256, 2)
        optimizer.zero_grad()
        latent_losses(net, net, latents, noise, t).mean().backward()
        optimizer.step()
    found = sample_latents(net.eval(), list(range(200)), steps=200)
    near = torch.cdist(found, centres).min(dim=1).values < 1.0
    assert near.float().mean() > 0.9
    assert 0.3 < (found[:, 0] > 0).float().mean() < 0.7


def test_the_input_is_seen_in_every_layer() -> None:
    net = LatentDenoiser(latent_dim=3, hidden=5, layers=4, time_width=8)
    assert [layer.linear.in_features for layer in net.body] == [3, 8, 8]
    assert net.head.in_features == 8
    again = net.from_unit(net.to_unit(MEAN[None]))
    torch.testing.assert_close(again, MEAN[None])


def test_moments_travel_with_the_weights(gaussian: Gaussian, tmp_path: object) -> None:
    gaussian.save_pretrained(str(tmp_path))
    again = LatentDenoiser.from_pretrained(str(tmp_path))
    assert torch.equal(again.mean, MEAN)
    assert torch.equal(again.std, STD)


@pytest.mark.parametrize("steps", [0, 1001])
def test_steps_out_of_range_are_refused(gaussian: Gaussian, steps: int) -> None:
    with pytest.raises(ConfigError, match="between 1 and 1000"):
        sample_latents(gaussian, [0], steps=steps)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least two layers"):
        LatentDenoiser(layers=1)
