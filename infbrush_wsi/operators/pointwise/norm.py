"""Layer norm with a scale and a shift for each image, in one pass over the points."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infbrush_wsi.operators.torch_threads import torch_threads

FEWEST_VALUES = 1 << 17
"""Below that torch's kernel is as fast, and the way to ours counts."""


def modulated_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """``norm(x) scale + shift`` with the norm over the last axis.

    Args:
        x: (B, N, C).
        scale: (B or 1, 1, C).
        shift: (B or 1, 1, C).
        eps: added to the variance.

    Returns:
        (B, N, C).
    """
    kernels = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and x.dtype == scale.dtype
    if not kernels or torch.compiler.is_compiling() or x.numel() < FEWEST_VALUES or not len(x):
        return _plain(x, scale, shift, eps)
    shape = (x.shape[0], 1, x.shape[-1])
    scale, shift = scale.expand(shape), shift.expand(shape)
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, scale, shift)):
        return _ModulatedNorm.apply(x, scale, shift, eps)  # type: ignore[no-any-return,no-untyped-call]
    return _forward(x, scale, shift, eps)


def _plain(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    if scale.numel() == x.shape[-1] == shift.numel():  # one modulation for all: torch's norm applies it in its own pass
        return F.layer_norm(x, x.shape[-1:], scale.flatten(), shift.flatten(), eps)
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=eps), scale)


def affine(norm: nn.LayerNorm, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift, (B, 1, C) each, by which `modulated_norm` is ``norm(x) (1 + scale) + shift``."""
    return norm.weight * (1 + scale), norm.bias * (1 + scale) + shift


def _forward(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    from infbrush_wsi.operators.pointwise.norm_kernels import forward

    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    with torch_threads():
        forward(_rows(x), _rows(scale), _rows(shift), x.shape[1], *_constants(x, eps), _rows(out))
    return out


class _ModulatedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, scale)
        ctx.eps = eps
        return _forward(x, scale, shift, eps)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        from infbrush_wsi.operators.pointwise.norm_kernels import ROW_BLOCKS, backward

        x, scale = ctx.saved_tensors
        images, points, channels = x.shape
        dx = torch.empty_like(x, memory_format=torch.contiguous_format)
        parts = torch.zeros(2, images, ROW_BLOCKS, channels, dtype=x.dtype)
        constants = _constants(x, ctx.eps)
        with torch_threads():
            backward(_rows(x), _rows(scale), _rows(upstream[0]), points, *constants, _rows(dx), *parts.numpy())
        dscale, dshift = parts.sum(dim=2).unsqueeze(2)
        return dx, dscale, dshift, None


def _rows(x: Tensor) -> Any:
    plain = x.detach() if x.requires_grad else x
    return plain.reshape(-1, x.shape[-1]).contiguous().numpy()


def _constants(x: Tensor, eps: float) -> tuple[Any, Any]:
    kind = np.float32 if x.dtype == torch.float32 else np.float64
    return kind(eps), kind(1.0 / x.shape[-1])
