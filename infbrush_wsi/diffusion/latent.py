"""Diffusion of latents (∞-Diff §1.9): plain DDPM on standardised vectors, with the same noise in every step."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from infbrush_wsi.diffusion.process import TRAIN_TIMESTEPS
from infbrush_wsi.diffusion.steps import Step, step_table
from infbrush_wsi.models.infdiff.latent import LatentDenoiser


@lru_cache
def latent_scheduler(beta: float) -> DDIMScheduler:
    """Diffusers' scheduler with 1000 steps of `beta`; with eta = 1 its steps are DDPM's."""
    return DDIMScheduler(
        num_train_timesteps=TRAIN_TIMESTEPS,
        beta_start=beta,
        beta_end=beta,
        beta_schedule="linear",
        prediction_type="sample",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )


def latent_losses(
    network: nn.Module, moments: LatentDenoiser, latent: Tensor, noise: Tensor, timestep: Tensor
) -> Tensor:
    """Mean absolute error of the predicted noise.

    Args:
        network: a `LatentDenoiser`, perhaps wrapped for several processes.
        moments: the same, from which the moments of the training set are taken.
        latent: (B, D) as encoded.
        noise: (B, D) of unit variance.
        timestep: (B,) int64 in [0, 1000).

    Returns:
        (B,).
    """
    signal, sigma = _signal_noise(moments.config.beta, timestep)
    found: Tensor = network(signal * moments.to_unit(latent) + sigma * noise, timestep)
    return (found.float() - noise).abs().mean(dim=-1)


@torch.no_grad()
def sample_latents(network: LatentDenoiser, seeds: list[int], steps: int = TRAIN_TIMESTEPS) -> Tensor:
    """Draw latents; each depends on its seed and not on the others.

    Args:
        network: trained, in evaluation mode.
        seeds: one for each latent, not negative.
        steps: network evaluations, at most 1000 (published).

    Returns:
        (len(seeds), D) float32 on the CPU, as the encoder would give them.

    Raises:
        ConfigError: if `steps` is not in [1, 1000].
    """
    table = _table(network.config.beta, steps)
    shape = (len(table) + 1, network.config.latent_dim)
    drawn = np.stack([np.random.default_rng(seed).standard_normal(shape, np.float32) for seed in seeds], axis=1)
    noise = torch.from_numpy(drawn).to(network.mean.device)
    x = noise[0]
    for step, fresh in zip(table, noise[1:], strict=True):
        timestep = torch.full((len(seeds),), step.timestep, device=x.device)
        signal, sigma = _signal_noise(network.config.beta, timestep)
        clean = (x - sigma * network(x, timestep)) / signal
        x = step.apply(x, [clean], fresh)
    return network.from_unit(x).float().cpu()


@lru_cache(maxsize=8)
def _table(beta: float, steps: int) -> list[Step]:
    return step_table(latent_scheduler(beta), steps, eta=1.0)


def _signal_noise(beta: float, timestep: Tensor) -> tuple[Tensor, Tensor]:
    """√ᾱ_t and √(1 - ᾱ_t), float32 (B, 1)."""
    scheduler: Any = latent_scheduler(beta)
    alpha = scheduler.alphas_cumprod.double().to(timestep.device)[timestep]
    return alpha.sqrt().float()[:, None], (1 - alpha).sqrt().float()[:, None]
