"""Sampling a function of which something is known (∞-Diff §5 and appendix: inpainting, super-resolution).

Two ways, which go together. *Replacing*: in every step what is known takes its place in the prediction. *Reconstruction
guidance*: after every step ``x_{t-1} ← x_{t-1} - λ ∇_{x_t} ‖m (T x̂_0(x_t) - T x̄)‖²``, through the network, so that
what is not known turns towards what is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.measurements import Measurement
from infbrush_wsi.diffusion.process import MollifiedProcess
from infbrush_wsi.diffusion.sampling import Network, predict_clean
from infbrush_wsi.diffusion.steps import Step
from infbrush_wsi.errors import ConfigError

Progress = Callable[[int, int], None]
FreshNoise = Callable[[int, int], Tensor]
"""T z of the round of a step, both by number; round 0 is what the step itself adds."""


@dataclass(frozen=True)
class Reconstruction:
    """How a function is held to what is known of it.

    Attributes:
        weight: λ of reconstruction guidance; 0: none, and no gradients are computed. The squared distance is a sum
            over pixels, whose gradient at a pixel does not depend on the resolution.
        replace: put what is known in its place in every step.
        rounds: how often each step is made; before each further time the state is noised again to where it was, so
            that what is made adapts to what is known (Lugmayr et al., *RePaint*, CVPR 2022).
        guidance_scale: classifier-free guidance; 1: none.
        finish: replace in the last prediction too; without it the result is all the network's.

    Raises:
        ConfigError: for a negative weight or scale, or if the function is held in no way.
    """

    weight: float = 0.0
    replace: bool = True
    rounds: int = 1
    guidance_scale: float = 1.0
    finish: bool = True

    def __post_init__(self) -> None:
        for name, value in (("weight", self.weight), ("guidance_scale", self.guidance_scale)):
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{name} must be finite and not negative, not {value}")
        if self.rounds < 1:
            raise ConfigError(f"rounds must be at least 1, not {self.rounds}")
        if not (self.replace or self.weight):
            raise ConfigError(
                "replace=False needs a weight above 0: nothing else would hold the image to what is known"
            )


def reconstruct(
    network: Network,
    process: MollifiedProcess,
    start: Tensor,
    condition: ConditionBatch,
    steps: Sequence[Step],
    measurement: Measurement,
    how: Reconstruction,
    fresh: FreshNoise,
    progress: Progress | None = None,
) -> Tensor:
    """Integrate from x_t to T x_0.

    Args:
        network: as in `sampling.sample_points`.
        process: the diffusion process.
        start: (1, N, C) x_t at the first step's time.
        condition: of the image.
        steps: from `steps.step_table`.
        measurement: what is known.
        how: how it is held to.
        fresh: for steps that add noise, and for further rounds.
        progress: called with (steps done, steps in all).

    Returns:
        (1, N, C) in [-1, 1], still mollified; what is known is in its place if `how` replaces.
    """
    x, past = start, list[Tensor]()
    memory = max(len(step.predictions) for step in steps)
    for number, step in enumerate(steps):
        before = past
        for again in range(how.rounds):
            if again:
                x = _noised_again(process, x, step, steps[number + 1 :], fresh(number, again))
            clean, pull = _predicted(network, process, x, step, condition, measurement, how)
            last = number + 1 == len(steps) and again + 1 == how.rounds
            if how.replace and (how.finish or not last):
                clean = measurement.replaced(clean).clamp(-1.0, 1.0)
            past = [clean, *before][:memory]
            x = step.apply(x, past, fresh(number, 0) if step.noise else None)
            if pull is not None:
                x = x - how.weight * pull
        if progress is not None:
            progress(number + 1, len(steps))
    return (measurement.replaced(x) if how.replace and how.finish else x).clamp(-1.0, 1.0)


def _noised_again(process: MollifiedProcess, x: Tensor, step: Step, later: Sequence[Step], noise: Tensor) -> Tensor:
    """From the state after a step to one before it."""
    alpha = process.alphas_cumprod[step.timestep]
    kept = float(alpha / process.alphas_cumprod[later[0].timestep] if later else alpha)
    return math.sqrt(kept) * x + math.sqrt(1.0 - kept) * noise


def _predicted(
    network: Network,
    process: MollifiedProcess,
    x: Tensor,
    step: Step,
    condition: ConditionBatch,
    measurement: Measurement,
    how: Reconstruction,
) -> tuple[Tensor, Tensor | None]:
    """T x̂_0, and the gradient of the distance with respect to x."""
    timestep = torch.full((x.shape[0],), step.timestep, device=x.device)
    with torch.set_grad_enabled(how.weight > 0):
        x = x.detach().requires_grad_(how.weight > 0)
        clean = predict_clean(network, process, x, timestep, condition, how.guidance_scale)
    pull = None
    if how.weight > 0:
        (pull,) = torch.autograd.grad(clean, x, measurement.gradient(clean.detach()))
    return clean.detach(), pull
