"""The convolution in plain torch: slow, on any device, differentiable by autograd. The others are tested against it."""

from __future__ import annotations

import torch
from torch import Tensor

from infbrush_wsi.points.support import Neighbours


def sparse_depthwise_reference(x: Tensor, weight: Tensor, neighbours: Neighbours) -> Tensor:
    """``out_i = Σ_j w[tap(i, j)] * x_j`` over the neighbours j of i.

    Args:
        x: (N, C) values at the points.
        weight: (k * k, C), one filter a channel, taps row-major.
        neighbours: pairs and taps.

    Returns:
        (N, C).
    """
    degree = neighbours.indptr.diff()
    rows = torch.repeat_interleave(torch.arange(len(degree), device=x.device), degree)
    terms = x[neighbours.indices.long()] * weight[neighbours.taps.long()]
    return torch.zeros_like(x).index_add_(0, rows, terms)
