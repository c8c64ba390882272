"""The sparse residual block of ∞-Diff (§1.7), modulated by time and condition."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from infbrush_wsi.operators.latent_scale import LatentScale
from infbrush_wsi.operators.pointwise import affine, blockwise_residual, linear, linear_add, linear_gelu, modulated_norm
from infbrush_wsi.operators.sparse_conv import DepthwiseConv
from infbrush_wsi.points.support import Support


class PointBlock(nn.Module):
    """Depthwise convolution over neighbouring points, then an MLP; both residual, pre-norm and modulated.

    ::

        m = (LN(x) (1 + s1) + b1) (1 + z1);  x += DepthwiseConv(m)
        m = (LN(x) (1 + s2) + b2) (1 + z2);  x += Linear(GELU(Linear(m)))

    s and b follow from the conditioning vector, z from a latent, if the model has one.

    Args:
        channels: nf.
        kernel_size: k of the convolution.
        embedding: width of the conditioning vector.
        skip: whether the input is joined with a skip connection first.
        latent: width of the latent; 0: none.
    """

    def __init__(self, channels: int, kernel_size: int, embedding: int, skip: bool = False, latent: int = 0) -> None:
        super().__init__()
        self.join = nn.Linear(2 * channels, channels) if skip else None
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.conv = DepthwiseConv(channels, kernel_size)
        self.expand = nn.Linear(channels, 2 * channels)
        self.contract = nn.Linear(2 * channels, channels)
        self.modulation = nn.Linear(embedding, 4 * channels)
        self.latents = nn.ModuleList(LatentScale(latent, channels) for _ in range(2)) if latent else None
        nn.init.zeros_(self.contract.weight)
        nn.init.zeros_(self.contract.bias)

    def forward(
        self,
        x: Tensor,
        support: Support,
        embedding: Tensor,
        skip: Tensor | None = None,
        save_memory: bool = False,
        latent: Tensor | None = None,
    ) -> Tensor:
        """(B, N, C) points, (B, E) vector, (B, Z) latent → (B, N, C).

        `save_memory` recomputes activations in the backward pass.
        """
        if save_memory and torch.is_grad_enabled():
            return checkpoint(self._run, x, support, embedding, skip, latent, use_reentrant=False)  # type: ignore[no-any-return]
        return self._run(x, support, embedding, skip, latent)

    def _run(
        self, x: Tensor, support: Support, embedding: Tensor, skip: Tensor | None, latent: Tensor | None
    ) -> Tensor:
        if self.join is not None and skip is not None:
            x = _joined(self.join, x, skip)
        first, second = self._modulation(embedding, latent)
        x = self.conv(modulated_norm(x, *first), support, residual=x)
        shared = (self.expand.weight, self.expand.bias)
        return blockwise_residual(_expanded, x, second, shared, self.contract)

    def _modulation(self, embedding: Tensor, latent: Tensor | None) -> list[tuple[Tensor, Tensor]]:
        """Scale and shift, (B, 1, C) each, of both norms."""
        s1, b1, s2, b2 = self.modulation(F.gelu(embedding)).unsqueeze(1).chunk(4, dim=-1)
        both = [affine(self.norm1, s1, b1), affine(self.norm2, s2, b2)]
        if self.latents is None or latent is None:
            return both
        return [scale.applied(latent, *own) for scale, own in zip(self.latents, both, strict=True)]  # type: ignore[operator]


def _expanded(x: Tensor, scale: Tensor, shift: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return linear_gelu(modulated_norm(x, scale, shift), weight, bias)


def _joined(join: nn.Linear, x: Tensor, skip: Tensor) -> Tensor:
    """``join`` of both side by side, without laying them side by side in memory."""
    first, second = join.weight.split(x.shape[-1], dim=1)
    return linear_add(skip, second, None, linear(x, first, join.bias))
