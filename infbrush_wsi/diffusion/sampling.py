"""Sampling all points of a support at once: previews, and the reference that chunked rendering must equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.guidance import guided
from infbrush_wsi.diffusion.process import MollifiedProcess
from infbrush_wsi.diffusion.steps import Step

Network = Callable[[Tensor, Tensor, ConditionBatch], Tensor]


def sample_points(
    network: Network,
    process: MollifiedProcess,
    noise: Tensor,
    condition: ConditionBatch,
    steps: Sequence[Step],
    guidance_scale: float = 1.0,
    fresh: Callable[[int], Tensor] | None = None,
) -> Tensor:
    """Integrate from T ξ to T x_0 at a set of points.

    Args:
        network: (scaled x, timestep (B',), condition of B') → output; B' = 2B under guidance.
        process: the diffusion process.
        noise: (B, N, C) float32, T ξ at the points.
        condition: of the B images.
        steps: from `diffusion.steps.step_table`.
        guidance_scale: classifier-free guidance; 1 evaluates the conditional network only.
        fresh: makes the noise (B, N, C) that step k adds; deterministic steps add none.

    Returns:
        (B, N, C) float32, in [-1, 1] for bounded data, still mollified.
    """
    x = noise
    past: list[Tensor] = []
    for number, step in enumerate(steps):
        timestep = torch.full((x.shape[0],), step.timestep, device=x.device)
        clean = predict_clean(network, process, x, timestep, condition, guidance_scale)
        past = [clean, *past][: max(len(s.predictions) for s in steps)]
        x = step.apply(x, past, fresh(number) if fresh is not None and step.noise else None)
    return x


def predict_clean(
    network: Network,
    process: MollifiedProcess,
    x: Tensor,
    timestep: Tensor,
    condition: ConditionBatch,
    guidance_scale: float,
) -> Tensor:
    """T x̂_0 (B, N, C) from x_t (B, N, C), with classifier-free guidance if `guidance_scale` is not 1."""
    scaled = process.network_input(x, timestep)
    if guidance_scale == 1.0:
        return process.clean(x, network(scaled, timestep, condition).to(x.dtype), timestep)
    output = network(scaled.repeat(2, 1, 1), timestep.repeat(2), condition.with_unconditional())
    return process.clean(x, guided(output.to(x.dtype), guidance_scale), timestep)
