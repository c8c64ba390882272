"""The sparse residual block of ∞-Diff (§1.7), modulated by time and condition."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

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
            x = self.join(torch.cat([x, skip], dim=-1))
        s1, b1, s2, b2 = self.modulation(F.gelu(embedding)).unsqueeze(1).chunk(4, dim=-1)
        x = x + self.conv(modulated_norm(self.norm1, x, s1, b1), support)
        return x + self.contract(F.gelu(self.expand(modulated_norm(self.norm2, x, s2, b2))))  # type: ignore[no-any-return]


def modulated_norm(norm: nn.LayerNorm, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``norm(x) (1 + scale) + shift`` with the affine parts joined first: one pass over the points less.

    Args:
        norm: layer norm over C.
        x: (B, N, C).
        scale: (B, 1, C).
        shift: (B, 1, C).
    """
    weight = norm.weight * (1 + scale)
    bias = norm.bias * (1 + scale) + shift
    return torch.addcmul(bias, F.layer_norm(x, norm.normalized_shape, eps=norm.eps), weight)
