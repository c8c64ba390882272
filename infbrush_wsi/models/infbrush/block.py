"""The sparse residual block of ∞-Diff (§1.7), modulated by time and condition."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from infbrush_wsi.operators.pointwise import affine, blockwise_residual, linear, linear_add, linear_gelu, modulated_norm
from infbrush_wsi.operators.sparse_conv import DepthwiseConv
from infbrush_wsi.points.support import Support


class PointBlock(nn.Module):
    """Depthwise convolution over neighbouring points, then an MLP; both residual, pre-norm and modulated.

    ::

        m = LN(x) (1 + s1) + b1;  x += DepthwiseConv(m)
        m = LN(x) (1 + s2) + b2;  x += Linear(GELU(Linear(m)))

    Args:
        channels: nf.
        kernel_size: k of the convolution.
        embedding: width of the conditioning vector.
        skip: whether the input is joined with a skip connection first.
    """

    def __init__(self, channels: int, kernel_size: int, embedding: int, skip: bool = False) -> None:
        super().__init__()
        self.join = nn.Linear(2 * channels, channels) if skip else None
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.conv = DepthwiseConv(channels, kernel_size)
        self.expand = nn.Linear(channels, 2 * channels)
        self.contract = nn.Linear(2 * channels, channels)
        self.modulation = nn.Linear(embedding, 4 * channels)
        nn.init.zeros_(self.contract.weight)
        nn.init.zeros_(self.contract.bias)

    def forward(
        self, x: Tensor, support: Support, embedding: Tensor, skip: Tensor | None = None, save_memory: bool = False
    ) -> Tensor:
        """(B, N, C) points, (B, E) vector → (B, N, C); `save_memory` recomputes activations in the backward pass."""
        if save_memory and torch.is_grad_enabled():
            return checkpoint(self._run, x, support, embedding, skip, use_reentrant=False)  # type: ignore[no-any-return]
        return self._run(x, support, embedding, skip)

    def _run(self, x: Tensor, support: Support, embedding: Tensor, skip: Tensor | None) -> Tensor:
        if self.join is not None and skip is not None:
            x = _joined(self.join, x, skip)
        s1, b1, s2, b2 = self.modulation(F.gelu(embedding)).unsqueeze(1).chunk(4, dim=-1)
        x = self.conv(modulated_norm(x, *affine(self.norm1, s1, b1)), support, residual=x)
        shared = (self.expand.weight, self.expand.bias)
        return blockwise_residual(_expanded, x, affine(self.norm2, s2, b2), shared, self.contract)


def _expanded(x: Tensor, scale: Tensor, shift: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return linear_gelu(modulated_norm(x, scale, shift), weight, bias)


def _joined(join: nn.Linear, x: Tensor, skip: Tensor) -> Tensor:
    """``join`` of both side by side, without laying them side by side in memory."""
    first, second = join.weight.split(x.shape[-1], dim=1)
    return linear_add(skip, second, None, linear(x, first, join.bias))
