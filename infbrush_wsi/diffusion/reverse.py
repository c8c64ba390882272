"""The reverse-time equation of Multilevel Diffusion by Euler and Maruyama, as published, as a table of steps.

With s = 1 - t and the absorbed score ``-eta / sqrt(b)``, a step is

    y ← y + ds (alpha y / 2 - (1 - lambda / 2) alpha eta / sqrt(b)) + sqrt((1 - lambda) alpha ds) eta_k:

lambda = 0 is the SDE, lambda = 1 the probability flow. Written in the prediction of x_0 it is a row of
:class:`~infbrush_wsi.diffusion.steps.Step`, as the steps of all other samplers. The last step returns the prediction.
"""

from __future__ import annotations

import torch

from infbrush_wsi.diffusion.process import TRAIN_TIMESTEPS
from infbrush_wsi.diffusion.sde import TraceClassSDE
from infbrush_wsi.diffusion.steps import Step
from infbrush_wsi.errors import ConfigError


def reverse_table(sde: TraceClassSDE, steps: int, flow: float = 0.0) -> list[Step]:
    """Steps from t = 1 to the cut-off.

    Args:
        sde: whose time is reversed.
        steps: network evaluations; the paper takes 200 for measurements and 1000 for pictures.
        flow: lambda; 0: the SDE, with fresh noise in every step; 1: the ODE, without.

    Raises:
        ConfigError: if `steps` is not in [1, 1000], or `flow` not in [0, 1].
    """
    if not 1 <= steps <= TRAIN_TIMESTEPS:
        raise ConfigError(f"num_inference_steps must be between 1 and {TRAIN_TIMESTEPS}, not {steps}")
    if not 0 <= flow <= 1:
        raise ConfigError(f"the share of the probability flow must be between 0 and 1, not {flow}")
    index = torch.linspace(TRAIN_TIMESTEPS - 1, 0, steps, dtype=torch.float64).round().long()
    time = (index + 1).double() / TRAIN_TIMESTEPS
    ds = -time.diff()
    at = time[:-1]
    alpha, a, b = sde.rate(at), sde.signal(at), sde.variance(at)
    pull = ds * (1 - flow / 2) * alpha / b
    table = [
        Step(int(i), float(state), (float(weight),), float(noise))
        for i, state, weight, noise in zip(
            index[:-1], 1 + 0.5 * alpha * ds - pull, pull * a, ((1 - flow) * alpha * ds).sqrt(), strict=True
        )
    ]
    return [*table, Step(int(index[-1]), 0.0, (1.0,), 0.0)]
