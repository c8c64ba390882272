"""The sparse residual block of ∞-Diff's encoder (§1.7): neither time nor latent, and so no norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from infbrush_wsi.operators.pointwise import blockwise_residual, linear_gelu
from infbrush_wsi.operators.sparse_conv import DepthwiseConv
from infbrush_wsi.points.support import Support


class PlainPointBlock(nn.Module):
    """``x += DepthwiseConv(x);  x += Linear(GELU(Linear(x)))``.

    Args:
        channels: nf.
        kernel_size: k of the convolution.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = DepthwiseConv(channels, kernel_size)
        self.expand = nn.Linear(channels, 2 * channels)
        self.contract = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor, support: Support, save_memory: bool = False) -> Tensor:
        """(B, N, C) points → (B, N, C); `save_memory` recomputes activations in the backward pass."""
        if save_memory and torch.is_grad_enabled():
            return checkpoint(self._run, x, support, use_reentrant=False)  # type: ignore[no-any-return]
        return self._run(x, support)

    def _run(self, x: Tensor, support: Support) -> Tensor:
        x = self.conv(x, support, residual=x)
        return blockwise_residual(linear_gelu, x, (), (self.expand.weight, self.expand.bias), self.contract)
