"""The convolution in plain torch: slow, on any device. The others are tested against it."""

from __future__ import annotations

import torch
from torch import Tensor

from infbrush_wsi.points.support import Neighbours


def sparse_depthwise_reference(x: Tensor, weight: Tensor, neighbours: Neighbours) -> Tensor:
    """``out_i = Σ_j w[tap(i, j)] * x_j`` over the neighbours j of i, differentiable by autograd.

    Args:
        x: (N, C) values at the points.
        weight: (k * k, C), one filter a channel, taps row-major.
        neighbours: pairs and taps.

    Returns:
        (N, C).
    """
    return reference_convolve(x, weight, neighbours.indptr, neighbours.indices, neighbours.taps, False)


def reference_convolve(x: Tensor, weight: Tensor, indptr: Tensor, indices: Tensor, taps: Tensor, flip: bool) -> Tensor:
    """The same on plain tensors; `flip` takes the taps in reverse order."""
    terms = x[indices.long()] * (weight.flip(0) if flip else weight)[taps.long()]
    return torch.zeros_like(x).index_add_(0, _rows(indptr), terms)


def reference_weight_gradient(
    x: Tensor, upstream: Tensor, indptr: Tensor, indices: Tensor, taps: Tensor, size: int
) -> Tensor:
    """``dw[t] = Σ upstream_i x_j`` over the pairs (i, j) with tap t."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    terms = upstream.to(dtype)[_rows(indptr)] * x.to(dtype)[indices.long()]
    return x.new_zeros(size, x.shape[1], dtype=dtype).index_add_(0, taps.long(), terms)


def _rows(indptr: Tensor) -> Tensor:
    degree = indptr.diff()
    return torch.repeat_interleave(torch.arange(len(degree), device=indptr.device), degree)
