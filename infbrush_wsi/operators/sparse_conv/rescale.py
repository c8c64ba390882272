"""Kernels at another resolution (∞-Diff §1.8): the side grows with the ratio, the values are interpolated."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def rescaled_side(side: int, ratio: float) -> int:
    """Side of a kernel of `side` training pixels on a lattice with `ratio` pixels per training pixel; odd, >= 3."""
    return side if ratio == 1.0 else max(2 * round((side * ratio - 1) / 2) + 1, 3)


def rescaled_kernel(weight: Tensor, ratio: float) -> Tensor:
    """Bilinear resize of (C, k, k) kernels; values are kept, the growing sum is divided out by the density."""
    side = rescaled_side(weight.shape[-1], ratio)
    if side == weight.shape[-1]:
        return weight
    return F.interpolate(weight[None], size=(side, side), mode="bilinear", align_corners=False)[0]
