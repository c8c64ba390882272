"""DDIM inversion: the noise from which the deterministic sampler makes a given image.

The sampler's steps are undone from the last to the first, so time rises from 0 to T. (The published code of ∞-Diff
walks it from T down while stepping up, which inverts nothing.)
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import LinAlgWarning
from scipy.optimize import anderson
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.process import MollifiedProcess
from infbrush_wsi.diffusion.sampling import Network, predict_clean
from infbrush_wsi.diffusion.steps import Step
from infbrush_wsi.errors import ConfigError

ROUNDS = 3
"""Network evaluations a step, of which the usual explicit inversion makes one and comes back only roughly."""
LARGEST_SLOPE = 2.0
"""Of a step, seen from its state: what the first correction of a round assumes at most."""


def invert(
    network: Network,
    process: MollifiedProcess,
    clean: Tensor,
    condition: ConditionBatch,
    steps: Sequence[Step],
    rounds: int = ROUNDS,
    guidance_scale: float = 1.0,
) -> Tensor:
    """The state before the first of `steps` from which they lead to `clean` (DDIM, §4.3; ∞-Diff "applications").

    A step is ``x' = F(x) = a x + b m(x)`` with m the network's T x̂_0. ``F(x) = x'`` is solved by Anderson's iteration.

    Args:
        network: as in `sampling.sample_points`.
        process: the diffusion process.
        clean: (1, N, C) T x_0.
        condition: of the image.
        steps: of DDIM without fresh noise, from `steps.step_table`.
        rounds: network evaluations a step.
        guidance_scale: classifier-free guidance; above 1 the way back is less exact.

    Returns:
        (1, N, C) float32, x_t at the time of the first step.

    Raises:
        ConfigError: for steps that cannot be undone.
    """
    if rounds < 1 or any(step.noise or len(step.predictions) > 1 for step in steps):
        raise ConfigError("only steps of DDIM with eta=0 can be inverted, in at least one round each")
    x = clean
    with torch.no_grad():
        for number in reversed(range(len(steps))):
            x = _before(network, process, x, condition, steps[number:], rounds, guidance_scale)
    return x


def _before(
    network: Network,
    process: MollifiedProcess,
    after: Tensor,
    condition: ConditionBatch,
    steps: Sequence[Step],
    rounds: int,
    guidance_scale: float,
) -> Tensor:
    """The state before the first of `steps` from the one after it."""
    step = steps[0]
    timestep = torch.full((after.shape[0],), step.timestep, device=after.device)
    signal = float(process.signal_noise(timestep)[0])
    later = float(process.alphas_cumprod[steps[1].timestep].sqrt()) if len(steps) > 1 else 1.0

    def excess(values: NDArray[np.floating]) -> NDArray[np.float32]:
        x = torch.from_numpy(np.asarray(values, np.float32)).to(after.device)
        guess = predict_clean(network, process, x, timestep, condition, guidance_scale)
        return np.asarray((step.apply(x, [guess]) - after).cpu().numpy(), np.float32)

    # F' lies between a, where the network ignores x, and √(ᾱ'/ᾱ), where it takes x for the image.
    slope = 0.5 * (step.state + min(later / signal, LARGEST_SLOPE)) if step.state else 1.0 / signal
    first = (after if step.state else signal * after).cpu().numpy()
    with warnings.catch_warnings():
        # Where it has converged to rounding its small system of differences is singular, and the step next to nothing.
        warnings.simplefilter("ignore", LinAlgWarning)
        found = anderson(excess, first, iter=rounds, alpha=-1.0 / slope, M=rounds, line_search=None)
    return torch.from_numpy(np.asarray(found, np.float32)).to(after.device)
