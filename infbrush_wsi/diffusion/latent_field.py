"""Sampling the latent of an image neural field (INFD §4): the shared process on the cells of a latent.

Latents have no bounds, but no trained one is many deviations off: an estimate at high noise, where a division by a
small number makes errors large, is held within `LIMIT` deviations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.process import MollifiedProcess
from infbrush_wsi.diffusion.sampling import predict_clean
from infbrush_wsi.diffusion.steps import Step
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.fields.noise import NoiseField
from infbrush_wsi.models.infd.latent_denoiser import LatentDenoiser, to_lattice, to_points

LIMIT = 5.0

Adjust = Callable[[Tensor, int], Tensor]
"""From an estimate of the latent (1, c, h, w) and the number of the step to a better one."""


def latent_noise(seed: int, channels: int, shape: Shape, number: int) -> Tensor:
    """White noise (1, h w, c), a function of seed and place: a larger latent begins with that of a smaller one.

    Args:
        seed: in [0, 2**63).
        channels: c.
        shape: h, w.
        number: 0 is where sampling starts, k + 1 what step k adds.
    """
    white = NoiseField(seed, channels, stream=number).white(Box(0, 0, shape.w, shape.h))
    return torch.from_numpy(white).reshape(1, -1, channels)


@torch.no_grad()
def sample_latent(
    network: LatentDenoiser,
    process: MollifiedProcess,
    shape: Shape,
    seed: int,
    condition: ConditionBatch,
    steps: Sequence[Step],
    guidance_scale: float = 1.0,
    adjust: Adjust | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Integrate from noise to a latent.

    Args:
        network: in evaluation mode.
        process: with the moments of trained latents, `bounded` False.
        shape: rows and columns of the latent.
        seed: of the noise.
        condition: of one image.
        steps: from `diffusion.steps.step_table`.
        guidance_scale: classifier-free guidance; 1: none.
        adjust: applied to the estimate of every step.
        progress: called with (steps done, steps in all).

    Returns:
        (1, c, h, w) float32 on the network's device.
    """
    device, channels = network.device, int(network.config.channels)
    mean = torch.tensor(process.config.data_mean, device=device)
    reach = LIMIT * process.config.data_std

    def noise(number: int) -> Tensor:
        return latent_noise(seed, channels, shape, number).to(device) * process.config.noise_std

    def evaluate(x: Tensor, timestep: Tensor, rows: ConditionBatch) -> Tensor:
        return network.at_points(x, shape, timestep, rows)

    condition, x = condition.to(device), noise(0)
    past: list[Tensor] = []
    for k, step in enumerate(steps):
        timestep = torch.full((1,), step.timestep, device=device)
        clean = predict_clean(evaluate, process, x, timestep, condition, guidance_scale)
        clean = torch.clamp(clean, mean - reach, mean + reach)
        if adjust is not None:
            clean = to_points(adjust(to_lattice(clean, shape), k))
        past = [clean, *past][: max(len(s.predictions) for s in steps)]
        x = step.apply(x, past, noise(k + 1) if step.noise else None)
        if progress is not None:
            progress(k + 1, len(steps))
    return to_lattice(x, shape)
