"""A linear layer by the fastest single-precision product of the machine.

Torch multiplies float32 matrices on the CPU with MKL, which on some processors (AMD's among them) leaves AVX-512 idle;
oneDNN, which torch brings too and uses for convolutions and bfloat16, does not, and is faster there. Torch has
its single-precision linear layer for compiled graphs only, under an internal name; where that name is missing, and
wherever it has no advantage, this is `torch.nn.functional.linear`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_WORK = 1 << 20
"""Multiplications below which a product takes microseconds and the way to it counts."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x weightᵀ + bias``: (..., C), (D, C), (D,) → (..., D), as `torch.nn.functional.linear`."""
    if choose_product(x, weight)[0] != "onednn":
        return F.linear(x, weight, bias)
    if _differentiable(x, weight, bias):
        return _Linear.apply(x, weight, bias)  # type: ignore[no-any-return,no-untyped-call]
    return product(x, weight, bias)


def linear_gelu(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``gelu(linear(x))``, in one pass over the result where no gradient is wanted."""
    if choose_product(x, weight)[0] != "onednn" or _differentiable(x, weight, bias):
        return F.gelu(linear(x, weight, bias))
    return product(x, weight, bias, "gelu")


def linear_add(x: Tensor, weight: Tensor, bias: Tensor | None, other: Tensor) -> Tensor:
    """``other + linear(x)``, in one pass over the result where no gradient is wanted."""
    if choose_product(x, weight)[0] != "onednn" or _differentiable(x, weight, bias, other):
        return other + linear(x, weight, bias)
    if other.dtype != x.dtype or other.shape != (*x.shape[:-1], len(weight)):
        return other + product(x, weight, bias)
    arguments = x.contiguous(), other.contiguous(), weight.contiguous(), bias, "add"
    return torch.ops.mkldnn._linear_pointwise.binary(*arguments)  # type: ignore[no-any-return]


def choose_product(x: Tensor, weight: Tensor) -> tuple[str, str]:
    """'onednn' or 'torch', and the reason."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or weight.dtype != torch.float32:
        return "torch", f"values are {x.dtype} on {x.device}; oneDNN's linear layer is used for float32 on the CPU"
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return "torch", "compiled graphs and autocast choose their own product"
    if x.numel() * len(weight) < LEAST_WORK:
        return "torch", f"fewer than {LEAST_WORK} multiplications"
    if not _available():
        return "torch", "this torch has no oneDNN linear layer"
    return "onednn", "float32 on the CPU"


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, after: str = "none") -> Tensor:
    """The forward product without gradient; `after` is applied to it, 'none' or 'gelu'."""
    x, weight = x.contiguous(), weight.contiguous()  # of a part of a matrix oneDNN takes a thousand times as long
    return torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, after, [], "none")  # type: ignore[no-any-return]


def linear_gradients(
    x: Tensor, weight: Tensor, upstream: Tensor, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of input, weight and bias, of those that are wanted.

    Args:
        x: (..., C).
        weight: (D, C).
        upstream: (..., D).
        wanted: which.
    """
    rows, flat = upstream.reshape(-1, upstream.shape[-1]), x.reshape(-1, x.shape[-1])
    dx = dw = None
    if choose_product(x, weight)[0] == "onednn":
        dx = product(upstream, weight.t()) if wanted[0] else None
    elif wanted[0]:
        dx = torch.matmul(upstream, weight)
    if wanted[1]:
        dw = torch.mm(rows.t(), flat.to(rows.dtype))  # few results, long sums: here oneDNN is no faster
    return dx, dw, rows.sum(0) if wanted[2] else None


def _differentiable(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors if t is not None)


def _available() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        return linear_gradients(x, weight, upstream[0], ctx.needs_input_grad)
