"""The depthwise convolution layer that serves scattered points and full tiles with one weight."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from infbrush_wsi.operators.sparse_conv.dense import dense_density, dense_depthwise, near_border
from infbrush_wsi.operators.sparse_conv.dispatch import sparse_depthwise_conv
from infbrush_wsi.operators.sparse_conv.rescale import rescaled_kernel, rescaled_side
from infbrush_wsi.points.support import LatticeSupport, ScatterSupport, Support


class DepthwiseConv(nn.Module):
    """Depthwise k x k convolution over whatever points there are, divided by their density (∞-Diff §1.7).

    ``out(c) = Σ_{c' in samples, |c' - c|_inf <= (k - 1) / 2} w(c' - c) x(c') / dens(c)`` with ``dens(c)`` the number of
    those samples over k². On a full lattice dens = 1 and this is an ordinary convolution.

    Args:
        channels: C.
        kernel_size: odd k, in training pixels.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        bound = math.sqrt(3.0) / kernel_size
        self.weight = nn.Parameter(torch.empty(channels, kernel_size, kernel_size).uniform_(-bound, bound))

    def reach(self, ratio: float = 1.0) -> int:
        """How many pixels of a lattice with `ratio` pixels per training pixel an output looks away."""
        return rescaled_side(self.kernel_size, ratio) // 2

    def forward(self, x: Tensor, support: Support, residual: Tensor | None = None) -> Tensor:
        """(B, N, C) → (B, N, C); `residual` is added to the result."""
        kernel = rescaled_kernel(self.weight, support.ratio)
        if isinstance(support, LatticeSupport):
            return self._dense(x, kernel, support, residual)
        return self._scattered(x, kernel, support, residual)

    def _dense(self, x: Tensor, kernel: Tensor, support: LatticeSupport, residual: Tensor | None) -> Tensor:
        out = dense_depthwise(x, kernel, support)
        side = kernel.shape[-1]
        if side == self.kernel_size and not near_border(support, side):  # neighbourhoods are full: the density is one
            return out if residual is None else residual + out
        density = dense_density(support, side, self.kernel_size).to(x.dtype)
        return out / density if residual is None else torch.addcdiv(residual, out, density)

    def _scattered(self, x: Tensor, kernel: Tensor, support: ScatterSupport, residual: Tensor | None) -> Tensor:
        taps = kernel.permute(1, 2, 0).reshape(-1, kernel.shape[0])
        flat = x.reshape(-1, x.shape[-1])
        if flat.dtype == torch.bfloat16 and flat.device.type == "cpu":
            flat = flat.float()
        if residual is not None:
            residual = residual.reshape(flat.shape).to(flat.dtype)
        full = float(self.kernel_size**2)
        out = sparse_depthwise_conv(flat, taps, support.neighbours, full=full, residual=residual)
        return out.reshape(x.shape).to(x.dtype)
