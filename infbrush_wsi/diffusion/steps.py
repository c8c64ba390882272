"""A sampler as a table of coefficients, read off diffusers' own schedulers.

Given the prediction of T x_0, a step of any of diffusers' linear multistep schedulers is
``x ← a x + b_0 m_0 + b_1 m_1 + ... + d z`` with m_k the prediction k steps ago and z unit noise. The scheduler is run
once on basis vectors to read the numbers off. The table can then be applied to any tile, in any order, without the
scheduler's hidden state, and it is what a plan stores.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from infbrush_wsi.diffusion.process import TRAIN_TIMESTEPS
from infbrush_wsi.diffusion.sde import VP_SDE, TraceClassSDE
from infbrush_wsi.errors import ConfigError

SCHEDULERS = ("dpmsolver++", "ddim")


@dataclass(frozen=True)
class Step:
    """One step of a sampler.

    Attributes:
        timestep: at which the network is evaluated.
        state: a.
        predictions: b_0, b_1, ..., newest first.
        noise: d.
    """

    timestep: int
    state: float
    predictions: tuple[float, ...]
    noise: float

    def apply(self, x: Tensor, predictions: list[Tensor], z: Tensor | None = None) -> Tensor:
        """X after the step; `predictions` are newest first and at least as many as the step needs."""
        out = self.state * x
        for weight, prediction in zip(self.predictions, predictions, strict=False):
            out = out + weight * prediction
        return out if z is None or self.noise == 0.0 else out + self.noise * z


def make_scheduler(name: str, schedule: str) -> Any:
    """Diffusers' scheduler for predictions of T x_0.

    Args:
        name: 'dpmsolver++' (second order, few steps) or 'ddim' (as published).
        schedule: beta schedule that the model was trained with.

    Raises:
        ConfigError: for another name.
    """
    common: dict[str, Any] = {"num_train_timesteps": TRAIN_TIMESTEPS, "prediction_type": "sample"}
    if schedule == VP_SDE:
        common["trained_betas"] = TraceClassSDE().betas(TRAIN_TIMESTEPS).tolist()
    else:
        common["beta_schedule"] = schedule
    if name == "ddim":
        return DDIMScheduler(**common, clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing")
    if name == "dpmsolver++":
        return DPMSolverMultistepScheduler(
            **common, algorithm_type="dpmsolver++", solver_order=2, timestep_spacing="trailing", lower_order_final=True
        )
    raise ConfigError(f"no scheduler is called {name!r}; choose one of {', '.join(SCHEDULERS)}")


def step_table(scheduler: Any, steps: int, eta: float = 0.0, first: int = 0) -> list[Step]:
    """Read the coefficients of `steps` steps off a diffusers scheduler.

    Args:
        scheduler: with ``prediction_type="sample"`` and no thresholding or clipping.
        steps: number of network evaluations from pure noise.
        eta: DDIM's share of fresh noise; 0 is deterministic.
        first: steps that are left out at the noisy end; the first that is made then has no predictions before it.

    Raises:
        ConfigError: if `steps` is not in [1, 1000], or `eta` is given to a scheduler without it.
    """
    if not 1 <= steps <= TRAIN_TIMESTEPS:
        raise ConfigError(f"num_inference_steps must be between 1 and {TRAIN_TIMESTEPS}, not {steps}")
    if eta and not isinstance(scheduler, DDIMScheduler):
        raise ConfigError("eta is DDIM's; use scheduler='ddim' or eta=0")
    scheduler = copy.deepcopy(scheduler)
    scheduler.set_timesteps(steps)
    if first and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    extra = {"eta": eta} if isinstance(scheduler, DDIMScheduler) else {}
    table = []
    # Column 0 is the state, column 1 the noise, column 2 + k the prediction of step k; each step resets the state to
    # a unit vector, so that what comes out are this step's coefficients.
    width = steps - first + 2
    eye = torch.eye(width, dtype=torch.float64)
    for k, timestep in enumerate(scheduler.timesteps[first:]):
        noise = {"variance_noise": eye[1]} if eta else {}
        out = scheduler.step(eye[2 + k], timestep, eye[0], **extra, **noise, return_dict=False)[0]
        past = out[2 : 3 + k].flip(0)
        used = int(past.nonzero().max()) + 1 if past.any() else 1
        table.append(Step(int(timestep), float(out[0]), tuple(float(b) for b in past[:used]), float(out[1])))
    return table


def first_step(steps: int, strength: float) -> int:
    """How many steps are left out when an image is noised and denoised again, as diffusers' image-to-image does.

    Args:
        steps: from pure noise.
        strength: in (0, 1]: the share of the steps that is made; 1 begins with pure noise.

    Raises:
        ConfigError: if `strength` is out of range, or so small that no step is left.
    """
    if not 0 < strength <= 1:
        raise ConfigError(f"strength must be above 0 and at most 1 (begin with noise alone), not {strength}")
    made = int(steps * strength)
    if made < 1:
        raise ConfigError(f"strength {strength} of {steps} steps leaves none to make; give more steps or more strength")
    return steps - made
