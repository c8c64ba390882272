"""Product of a fixed sparse matrix with dense rows, differentiable in the rows: splat, nearest points, bilinear."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from infbrush_wsi.operators import triton_support
from infbrush_wsi.operators.torch_threads import torch_threads
from infbrush_wsi.points.support import SparseMatrix


def sparse_product(matrix: SparseMatrix, x: Tensor) -> Tensor:
    """``out = M x``.

    Args:
        matrix: (R, N) with its transpose.
        x: (N, C), contiguous or not, any float dtype.

    Returns:
        (R, C), float32 (float64 for float64 input).
    """
    m = matrix
    return _product(x, m.indptr, m.indices, m.data, m.t_indptr, m.t_indices, m.t_data)  # type: ignore[no-any-return]


@torch.library.custom_op("infbrush::sparse_product", mutates_args=())
def _product(
    x: Tensor, indptr: Tensor, indices: Tensor, data: Tensor, t_indptr: Tensor, t_indices: Tensor, t_data: Tensor
) -> Tensor:
    if x.device.type == "cpu":
        x = x if x.dtype == torch.float64 else x.float()
        out = torch.empty(len(indptr) - 1, x.shape[1], dtype=x.dtype)
        values = x.detach().contiguous().numpy()
        with torch_threads():
            _multiply(indptr.numpy(), indices.numpy(), data.numpy(), values, out.numpy())
        return out
    if triton_support.available(x.device)[0]:
        from infbrush_wsi.operators.sparse_product_triton import multiply

        return multiply(indptr, indices, data, x)
    return _multiplied(x if x.dtype == torch.float64 else x.float(), indptr, indices, data)


@_product.register_fake
def _(x: Tensor, indptr: Tensor, *_: Any) -> Tensor:
    return x.new_empty(len(indptr) - 1, x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[1:])
    ctx.dtype = inputs[0].dtype


def _gradient(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
    indptr, indices, data, t_indptr, t_indices, t_data = ctx.saved_tensors
    dx = _product(upstream, t_indptr, t_indices, t_data, indptr, indices, data)
    return dx.to(ctx.dtype), None, None, None, None, None, None


_product.register_autograd(_gradient, setup_context=_keep)


def _multiplied(x: Tensor, indptr: Tensor, indices: Tensor, data: Tensor) -> Tensor:
    """The same in plain torch, on any device."""
    rows = torch.repeat_interleave(torch.arange(len(indptr) - 1, device=x.device), indptr.diff())
    terms = x[indices.long()] * data[:, None].to(x.dtype)
    return torch.zeros(len(indptr) - 1, x.shape[1], dtype=x.dtype, device=x.device).index_add_(0, rows, terms)


@numba.njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _multiply(indptr, indices, data, x, out):  # type: ignore[no-untyped-def] # pragma: no cover
    channels = x.shape[1]
    for i in numba.prange(len(indptr) - 1):
        row = out[i]
        for c in range(channels):
            row[c] = 0
        for p in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            weight, source = data[p], x[np.uint64(indices[p])]
            for c in range(channels):
                row[c] += weight * source[c]
