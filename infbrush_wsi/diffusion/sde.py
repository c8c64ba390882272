"""The stochastic differential equation of Multilevel Diffusion §3.1 on functions, with a trace-class Wiener process.

    dX = -1/2 alpha(t) X dt + sqrt(alpha(t)) dW^Q,   alpha(t) = beta_min + (beta_max - beta_min) t,   0 <= t <= 1,
    X_t = a(t) X_0 + sqrt(b(t)) eta,   eta ~ N(0, Q),   a = exp(-1/2 ∫ alpha),   b = 1 - a².

The same for every frequency, as in mollified diffusion: Q changes what eta is, not the schedule. The network predicts
eta, or what follows from it; the score with Q absorbed is ``Q grad log p = -E[eta | X_t] / sqrt(b)``.

Times are kept above a cut-off, since -eta / sqrt(b) is unbounded at t = 0. The published code declares one of 1e-3 and
draws times down to 0 nevertheless. With 1000 time steps, t = (step + 1) / 1000, the first one is that cut-off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from infbrush_wsi.errors import ConfigError

VP_SDE = "vp_sde"
"""Name of this schedule beside diffusers' own."""


@dataclass(frozen=True)
class TraceClassSDE:
    """Rates and marginals.

    Attributes:
        beta_min: alpha(0), published 0.1.
        beta_max: alpha(1), published 20.
        cutoff: smallest time, published (and not used) 1e-3.

    Raises:
        ConfigError: for a value out of its range.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    cutoff: float = 1e-3

    def __post_init__(self) -> None:
        if not (0 <= self.beta_min <= self.beta_max < math.inf and self.beta_max > 0):
            raise ConfigError(f"the SDE needs 0 <= beta_min <= beta_max, not {self.beta_min} and {self.beta_max}")
        if not 0 < self.cutoff < 1:
            raise ConfigError(f"the SDE's time cut-off must be between 0 and 1, not {self.cutoff}")

    def rate(self, time: Tensor) -> Tensor:
        """Values of alpha(t)."""
        return self.beta_min + (self.beta_max - self.beta_min) * time

    def signal(self, time: Tensor) -> Tensor:
        """Values of a(t), the factor of X_0."""
        return torch.exp(-0.5 * self._integral(time))

    def variance(self, time: Tensor) -> Tensor:
        """Values of b(t), the factor of Q."""
        return -torch.expm1(-self._integral(time))

    def times(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Training times: uniform between the cut-off and 1, float32 (count,)."""
        return self.cutoff + (1 - self.cutoff) * torch.rand(count, generator=generator)

    def noised(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """X_t from X_0 and eta (B, ...), at times (B,)."""
        return _like(self.signal(time), clean) * clean + _like(self.variance(time).sqrt(), clean) * noise

    def score(self, noise: Tensor, time: Tensor) -> Tensor:
        """``Q grad log p`` from an estimate of eta (B, ...), at times (B,)."""
        return -noise / _like(self.variance(time).sqrt(), noise)

    def noise(self, score: Tensor, time: Tensor) -> Tensor:
        """The estimate of eta that belongs to ``Q grad log p`` (B, ...), at times (B,)."""
        return -score * _like(self.variance(time).sqrt(), score)

    def score_loss(self, score: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """``1/2 mean |sqrt(b) s + eta|²`` for an estimate s of ``Q grad log p`` [Multilevel Diffusion, loss of §3.2].

        Args:
            score: (B, ...).
            noise: (B, ...) eta.
            time: (B,), at or above the cut-off.

        Returns:
            (B,) one loss per function: the mean over points, an integral over the domain, where the paper sums.

        Raises:
            ConfigError: for a time below the cut-off.
        """
        if float(time.min()) < self.cutoff * (1 - 1e-6):
            raise ConfigError(f"a time of {float(time.min()):.3g} is below the cut-off {self.cutoff}")
        error = _like(self.variance(time).sqrt(), score) * score + noise
        return 0.5 * error.square().flatten(1).mean(dim=1)

    def alphas_cumprod(self, steps: int) -> Tensor:
        """``a(t)²`` at t = (step + 1) / steps: float64 (steps,)."""
        return self.signal(self._grid(steps)) ** 2

    def betas(self, steps: int) -> Tensor:
        """The discrete schedule with exactly these marginals, as diffusers wants it: float64 (steps,)."""
        integral = self._integral(torch.cat([torch.zeros(1, dtype=torch.float64), self._grid(steps)]))
        return -torch.expm1(-integral.diff())

    def _integral(self, time: Tensor) -> Tensor:
        return self.beta_min * time + 0.5 * (self.beta_max - self.beta_min) * time**2

    @staticmethod
    def _grid(steps: int) -> Tensor:
        return torch.arange(1, steps + 1, dtype=torch.float64) / steps


def _like(values: Tensor, other: Tensor) -> Tensor:
    """One number a function (B,) shaped to multiply (B, ...)."""
    return values.to(other.dtype).view(-1, *(1,) * (other.ndim - 1))
