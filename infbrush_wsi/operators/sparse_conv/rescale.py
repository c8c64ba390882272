"""Kernels at another resolution: finer ones grow (∞-Diff §1.8), coarser ones are read where neighbours are.

On a coarser lattice the neighbours of a point are what a sparse draw with that spacing would find in the trained
neighbourhood, so they take the kernel's values at their own offsets, and the density does the rest. The network has
seen that in training; an average of the kernel it has not.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def rescaled_side(side: int, ratio: float) -> int:
    """Side of a kernel of `side` training pixels on a lattice with `ratio` pixels per training pixel; odd."""
    if ratio == 1.0:
        return side
    if ratio < 1.0:
        return 2 * math.floor((side - 1) / 2 * ratio + 1e-9) + 1
    return max(2 * round((side * ratio - 1) / 2) + 1, 3)


def rescaled_kernel(weight: Tensor, ratio: float) -> Tensor:
    """Values of (C, k, k) kernels on another lattice; the growing sum of a finer one is divided out by the density."""
    side = rescaled_side(weight.shape[-1], ratio)
    if ratio == 1.0 or (ratio > 1.0 and side == weight.shape[-1]):
        return weight
    if ratio > 1.0:
        return F.interpolate(weight[None], size=(side, side), mode="bilinear", align_corners=False)[0]
    return _at_offsets(weight, side, 1.0 / ratio)


def _at_offsets(weight: Tensor, side: int, spacing: float) -> Tensor:
    """Bilinear values at offsets of whole multiples of `spacing` from the kernel's centre."""
    half = (weight.shape[-1] - 1) / 2
    offsets = (torch.arange(side, dtype=weight.dtype, device=weight.device) - side // 2) * spacing / max(half, 1.0)
    where = torch.stack(torch.meshgrid(offsets, offsets, indexing="ij")[::-1], -1)[None]
    found = F.grid_sample(weight[None], where, mode="bilinear", padding_mode="border", align_corners=True)
    return found[0]
