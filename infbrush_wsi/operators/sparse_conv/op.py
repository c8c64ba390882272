"""The sparse convolution as an operator of torch: device kernels, shapes for tracing, gradients of any order.

``out_i = r_i + (full / n_i) Σ_j w[tap(i, j)] x_j`` over the n_i neighbours j of i. It is linear in the values and in
the weight, and who is whose neighbour is symmetric, so both gradients are made of the same two kernels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infbrush_wsi.operators.sparse_conv.reference import reference_convolve, reference_weight_gradient


@torch.library.custom_op("infbrush::sparse_depthwise", mutates_args=())
def sparse_depthwise(
    x: Tensor,
    weight: Tensor,
    indptr: Tensor,
    indices: Tensor,
    taps: Tensor,
    residual: Tensor | None,
    full: float,
    flip: bool,
    backend: str,
) -> Tensor:
    """Convolve scattered points.

    Args:
        x: (N, C) values.
        weight: (k * k, C), taps row-major.
        indptr: (N + 1,) int64, see `points.support.Neighbours`.
        indices: (P,) int32.
        taps: (P,) int16.
        residual: (N, C) added at the end, or None.
        full: neighbours of a point in a full neighbourhood; a sum over n of them is multiplied by ``full / n``. 0: not.
        flip: take the taps in reverse order (the transposed convolution).
        backend: 'numba', 'triton', 'spconv' or 'reference'.

    Returns:
        (N, C), dtype of `x`.
    """
    if backend == "numba":
        from infbrush_wsi.operators.sparse_conv import numba_kernel

        return numba_kernel.convolve(x, weight, indptr, indices, taps, residual, full, flip)
    if backend == "triton":
        from infbrush_wsi.operators.sparse_conv import triton_kernel

        return triton_kernel.convolve(x, weight, indptr, indices, taps, flip, residual=residual, full=full)
    if backend == "spconv":
        from infbrush_wsi.operators.sparse_conv import spconv_backend

        out = spconv_backend.convolve(x, weight, indptr, indices, taps, flip)
    else:
        out = reference_convolve(x, weight.to(x.dtype), indptr, indices, taps, flip)
    if full:
        out = out * (full / indptr.diff().to(out.dtype))[:, None]
    return out if residual is None else residual + out


@sparse_depthwise.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op("infbrush::sparse_depthwise_weight", mutates_args=())
def sparse_depthwise_weight(
    x: Tensor, upstream: Tensor, indptr: Tensor, indices: Tensor, taps: Tensor, size: int, backend: str
) -> Tensor:
    """``dw[t] = Σ upstream_i x_j`` over the pairs (i, j) with tap t: (N, C), (N, C) → (size, C), at least float32."""
    if backend == "numba":
        from infbrush_wsi.operators.sparse_conv import numba_kernel

        return numba_kernel.weight_gradient(x, upstream, indptr, indices, taps, size)
    if backend == "triton":
        from infbrush_wsi.operators.sparse_conv import triton_kernel

        return triton_kernel.weight_gradient(x, upstream, indptr, indices, taps, size)
    if backend == "spconv":
        from infbrush_wsi.operators.sparse_conv import spconv_backend

        return spconv_backend.weight_gradient(x, upstream, indptr, indices, taps, size)
    return reference_weight_gradient(x, upstream, indptr, indices, taps, size)


@sparse_depthwise_weight.register_fake
def _(x: Tensor, upstream: Tensor, indptr: Tensor, indices: Tensor, taps: Tensor, size: int, backend: str) -> Tensor:
    return x.new_empty(size, x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, indptr, indices, taps, _, full, flip, backend = inputs
    ctx.save_for_backward(x, weight, indptr, indices, taps)
    ctx.full, ctx.flip, ctx.backend = full, flip, backend


def _gradients(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
    x, weight, *pairs = ctx.saved_tensors
    want_x, want_weight, *_, want_residual = ctx.needs_input_grad[:6]
    dx = dw = None
    if want_x or want_weight:
        scaled = upstream * (ctx.full / pairs[0].diff().to(x.dtype))[:, None] if ctx.full else upstream
        if want_x:
            dx = sparse_depthwise(scaled, weight, *pairs, None, 0.0, not ctx.flip, ctx.backend)
        if want_weight:
            dw = sparse_depthwise_weight(x, scaled, *pairs, len(weight), ctx.backend)
            dw = (dw.flip(0) if ctx.flip else dw).to(weight.dtype)
    return dx, dw, None, None, None, upstream if want_residual else None, None, None, None


def _keep_weight(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, upstream, indptr, indices, taps, _, backend = inputs
    ctx.save_for_backward(x, upstream, indptr, indices, taps)
    ctx.backend = backend


def _weight_gradients(ctx: Any, upper: Tensor) -> tuple[Any, ...]:
    x, upstream, *pairs = ctx.saved_tensors
    dx = sparse_depthwise(upstream, upper, *pairs, None, 0.0, True, ctx.backend) if ctx.needs_input_grad[0] else None
    dg = sparse_depthwise(x, upper, *pairs, None, 0.0, False, ctx.backend) if ctx.needs_input_grad[1] else None
    return dx, dg, None, None, None, None, None


sparse_depthwise.register_autograd(_gradients, setup_context=_keep)
sparse_depthwise_weight.register_autograd(_weight_gradients, setup_context=_keep_weight)
