"""How many point layers recompute their activations in the backward pass, from a limit of memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.domain import Shape
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.points.prepare import Layout, scatter_support
from infbrush_wsi.points.samplers import make_sampler
from infbrush_wsi.training.config import RunConfig

PROBE_POINTS = (1024, 2048)
SHARE = 0.8
"""Part of the memory limit that activations, gradients and optimiser may plan with; the rest is for what comes and
goes within a layer."""


def recomputed_layers(config: RunConfig, denoiser: InfBrushDenoiser) -> int:
    """The number of layers that a run's configuration asks for, planned where it says 'auto'."""
    optim = config.optim
    if optim.gradient_checkpointing != "auto":
        return denoiser.point_layers if optim.gradient_checkpointing else 0
    limit = None if optim.memory_gib is None else round(optim.memory_gib * 2**30)
    autocast = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}[optim.precision]
    return plan_memory(denoiser, config.data.window, config.data.points, optim.batch, limit, autocast).layers


@dataclass(frozen=True)
class MemoryPlan:
    """What was decided for a run, in bytes.

    Attributes:
        limit: memory that may be used.
        states: weights, gradients, moments and averages.
        activations: kept for the backward pass if no layer recomputes.
        recomputed: kept if all point layers do.
        layers: number of point layers that recompute.
    """

    limit: int
    states: int
    activations: int
    recomputed: int
    layers: int


def plan_memory(
    denoiser: InfBrushDenoiser, window: int, points: int, batch: int, limit: int | None, autocast: torch.dtype | None
) -> MemoryPlan:
    """Fewest layers to recompute so that a step fits.

    The bytes that autograd keeps are counted on two small point sets and extended: they are linear in the points.

    Args:
        denoiser: on its device, in training mode or not.
        window: side of the training window in pixels.
        points: of an image.
        batch: images of a step on this device.
        limit: bytes; None: what the device has free now.
        autocast: dtype of mixed precision; None: none.
    """
    limit = free_memory(denoiser.device) if limit is None else limit
    weights = sum(p.numel() * p.element_size() for p in denoiser.parameters())
    states = 5 * weights  # weights, gradients, two moments, average
    layers = denoiser.point_layers
    plain = batch * _kept(denoiser, window, points, 0, autocast)
    all_recompute = batch * _kept(denoiser, window, points, layers, autocast)
    over = plain - (SHARE * limit - states)
    gain = (plain - all_recompute) / layers
    needed = 0 if over <= 0 else layers if gain <= 0 else min(layers, math.ceil(over / gain))
    return MemoryPlan(limit, states, plain, all_recompute, needed)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def _kept(denoiser: InfBrushDenoiser, window: int, points: int, layers: int, autocast: torch.dtype | None) -> int:
    """Bytes that autograd keeps of one image with `layers` layers recomputing."""
    few = [min(p, window**2) for p in PROBE_POINTS]
    small, large = (_probe(denoiser, window, p, layers, autocast) for p in few)
    slope = (large - small) / max(few[1] - few[0], 1)
    return round(large + slope * (points - few[1]))


def _probe(denoiser: InfBrushDenoiser, window: int, points: int, layers: int, autocast: torch.dtype | None) -> int:
    device, c = denoiser.device, denoiser.config
    draw = make_sampler("uniform").draw(np.random.default_rng(0), Shape(window, window), points)
    support = scatter_support([draw], Shape(window, window), Layout(c.kernel_size, c.grid_pitch, c.transfer)).to(device)
    x = torch.zeros(1, points, c.channels, device=device)
    time, condition = torch.zeros(1, dtype=torch.long, device=device), ConditionBatch.none(1).to(device)
    own = {p.data_ptr() for p in denoiser.parameters()}
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    before, denoiser.recomputed_layers = denoiser.recomputed_layers, layers
    try:
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
            torch.autocast(device.type, dtype=autocast, enabled=autocast is not None),
        ):
            denoiser(x, support, time, condition)
    finally:
        denoiser.recomputed_layers = before
    return sum(kept.values())
