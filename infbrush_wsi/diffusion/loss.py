"""The training loss: weighted mean squared error at the sampled points."""

from __future__ import annotations

import torch
from torch import Tensor


def point_loss(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """``mean_i weight_i |f(c_i) - target_i|²``, a Monte-Carlo estimate of the squared L2 norm over the image.

    Args:
        output: (B, N, C) prediction.
        target: (B, N, C).
        weight: (B, N) inverse inclusion density, zero where a pixel is not valid.

    Returns:
        (B,) one loss per image, mean over valid points and bands, float32.
    """
    squared = (output.float() - target.float()).square().mean(dim=-1)
    return (squared * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
