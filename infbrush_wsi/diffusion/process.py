"""Mollified diffusion (∞-Diff §1.2, ∞-Brush §2.1): the forward marginal, the network's target and its way back.

``x_t = √ᾱ_t T x_0 + √(1 - ᾱ_t) T ξ`` with one mollifier T for data and noise. Everything here acts point by point on
(B, N, C), so it holds for scattered points and for tiles alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from diffusers import DDPMScheduler
from pydantic import TypeAdapter
from torch import Tensor

from infbrush_wsi.diffusion.sde import VP_SDE, TraceClassSDE
from infbrush_wsi.errors import CheckpointError, ConfigError

Prediction = Literal["epsilon", "velocity"]
TRAIN_TIMESTEPS = 1000


@dataclass(frozen=True)
class ProcessConfig:
    """What a checkpoint must remember of its diffusion process.

    Attributes:
        schedule: name of diffusers' beta schedule; 'squaredcos_cap_v2' is the cosine schedule of both papers;
            'vp_sde' is that of Multilevel Diffusion (`diffusion.sde`).
        prediction: 'epsilon': the network predicts T ξ (published); 'velocity': √ᾱ T ξ - √(1 - ᾱ) T x_0, better
            conditioned at high noise and with few sampling steps.
        noise_std: standard deviation of T ξ; 1 / √(4 π) = 0.282 for a mollifier of one pixel.
        data_std: standard deviation of T x_0 (values in [-1, 1]).
        data_mean: mean of T x_0 per band.
        scale_input: divide x_t by its standard deviation before the network sees it (the published code does not).
        bounded: data lie in [-1, 1], and so do estimates of T x_0.
    """

    schedule: str = "squaredcos_cap_v2"
    prediction: Prediction = "velocity"
    noise_std: float = 0.28209479177387814
    data_std: float = 0.5
    data_mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    scale_input: bool = True
    bounded: bool = True

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ProcessConfig:
        """From the plain values of a model's record.

        Raises:
            CheckpointError: if they are not a process's.
        """
        try:
            given = cls(**{**values, "data_mean": tuple(values["data_mean"])})
            found = TypeAdapter(cls).validate_python(asdict(given))
            numbers = (found.noise_std, found.data_std, *found.data_mean)
            if not (all(map(math.isfinite, numbers)) and found.noise_std > 0 and found.data_std > 0):
                raise ValueError(f"its deviations and means are {numbers}")
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the model's record holds no diffusion process that can be used: {error}") from error
        return found


class MollifiedProcess:
    """The process of a `ProcessConfig`, with its ᾱ table."""

    def __init__(self, config: ProcessConfig) -> None:
        if config.prediction not in ("epsilon", "velocity"):
            raise ConfigError(f"prediction must be 'epsilon' or 'velocity', not {config.prediction!r}")
        self.config = config
        self.alphas_cumprod = _alphas_cumprod(config.schedule)

    def signal_noise(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """√ᾱ_t and √(1 - ᾱ_t), float32, shaped (B, 1, 1)."""
        alpha = self.alphas_cumprod.to(timestep.device)[timestep.long()]
        return alpha.sqrt().float().view(-1, 1, 1), (1 - alpha).sqrt().float().view(-1, 1, 1)

    def noised(self, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """x_t from T x_0 and T ξ, all (B, N, C)."""
        signal, sigma = self.signal_noise(timestep)
        return signal * clean + sigma * noise

    def network_input(self, x: Tensor, timestep: Tensor) -> Tensor:
        """x_t centred and scaled to unit variance (or as it is, for parity)."""
        if not self.config.scale_input:
            return x
        signal, sigma = self.signal_noise(timestep)
        mean = torch.tensor(self.config.data_mean, device=x.device, dtype=x.dtype)
        std = (signal**2 * self.config.data_std**2 + sigma**2 * self.config.noise_std**2).sqrt()
        return (x - signal * mean) / std

    def target(self, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """What the network should output: the prediction target in units of its standard deviation."""
        signal, sigma = self.signal_noise(timestep)
        if self.config.prediction == "epsilon":
            return noise / self.config.noise_std
        mean = torch.tensor(self.config.data_mean, device=clean.device, dtype=clean.dtype)
        return (signal * noise - sigma * (clean - mean)) / self._velocity_std(signal, sigma)

    def min_snr_weight(self, timestep: Tensor, gamma: float) -> Tensor:
        """Weight of the squared error of the output, (B,): min(SNR, γ) of the error of T x_0 in units of its deviation.

        SNR = ᾱ σ_data² / ((1 - ᾱ) σ_noise²), so that mollified noise counts with the variance that it has. [Hang et
        al., *Efficient Diffusion Training via Min-SNR Weighting Strategy*, ICCV 2023, eq. 8 to 10]

        Args:
            timestep: (B,).
            gamma: γ, 5 in the paper.
        """
        data, noise = self.config.data_std**2, self.config.noise_std**2
        alpha, rest = (part.flatten() ** 2 for part in self.signal_noise(timestep))
        snr = alpha * data / (rest * noise)
        velocity = rest * (alpha * noise + rest * data) / data
        error = 1 / snr if self.config.prediction == "epsilon" else velocity
        return snr.clamp_max(gamma) * error

    def clean(self, x: Tensor, output: Tensor, timestep: Tensor) -> Tensor:
        """T x̂_0 from x_t and the network's output.

        Clamped to the range of data if that is known, which is legal for a unit-mass mollifier.
        """
        signal, sigma = self.signal_noise(timestep)
        if self.config.prediction == "epsilon":
            estimate = (x - sigma * output * self.config.noise_std) / signal
        else:
            mean = torch.tensor(self.config.data_mean, device=x.device, dtype=x.dtype)
            velocity = output * self._velocity_std(signal, sigma)
            # x - signal * mean = signal * (clean - mean) + sigma * noise, and the velocity is its rotation.
            estimate = mean + signal * (x - signal * mean) - sigma * velocity
        return estimate.clamp(-1.0, 1.0) if self.config.bounded else estimate

    def noise(self, x: Tensor, clean: Tensor, timestep: Tensor) -> Tensor:
        """T ξ̂ that belongs to an estimate of T x_0."""
        signal, sigma = self.signal_noise(timestep)
        return (x - signal * clean) / sigma

    def _velocity_std(self, signal: Tensor, sigma: Tensor) -> Tensor:
        return (signal**2 * self.config.noise_std**2 + sigma**2 * self.config.data_std**2).sqrt()


def _alphas_cumprod(schedule: str) -> Tensor:
    """ᾱ of every time step, float64."""
    if schedule == VP_SDE:
        return TraceClassSDE().alphas_cumprod(TRAIN_TIMESTEPS)
    try:
        scheduler: Any = DDPMScheduler(num_train_timesteps=TRAIN_TIMESTEPS, beta_schedule=schedule)
    except NotImplementedError as error:
        raise ConfigError(f"diffusers has no beta schedule called {schedule!r}: {error}") from error
    alphas: Tensor = scheduler.alphas_cumprod.double()
    return alphas
