"""Product of a fixed sparse matrix with dense rows, differentiable in the rows: splat, nearest points, bilinear."""

from __future__ import annotations

from typing import Any

import numba
import torch
from torch import Tensor

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
    return _SparseProduct.apply(x, matrix)  # type: ignore[no-any-return,no-untyped-call]


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: SparseMatrix) -> Tensor:
        ctx.matrix, ctx.dtype = matrix, x.dtype
        return _product(matrix.indptr, matrix.indices, matrix.data, x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        m: SparseMatrix = ctx.matrix
        return _product(m.t_indptr, m.t_indices, m.t_data, gradients[0]).to(ctx.dtype), None


def _product(indptr: Tensor, indices: Tensor, data: Tensor, x: Tensor) -> Tensor:
    x = x if x.dtype == torch.float64 else x.float()
    if x.device.type == "cpu":
        out = torch.zeros(len(indptr) - 1, x.shape[1], dtype=x.dtype)
        values = x.detach().contiguous().numpy()
        with torch_threads():
            _multiply(indptr.numpy(), indices.numpy(), data.numpy(), values, out.numpy())
        return out
    rows = torch.repeat_interleave(torch.arange(len(indptr) - 1, device=x.device), indptr.diff())
    terms = x[indices.long()] * data[:, None].to(x.dtype)
    return torch.zeros(len(indptr) - 1, x.shape[1], dtype=x.dtype, device=x.device).index_add_(0, rows, terms)


@numba.njit(parallel=True, cache=True)
def _multiply(indptr, indices, data, x, out):  # type: ignore[no-untyped-def] # pragma: no cover
    channels = x.shape[1]
    for i in numba.prange(len(indptr) - 1):
        row = out[i]
        for p in range(indptr[i], indptr[i + 1]):
            weight = data[p]
            source = x[indices[p]]
            for c in range(channels):
                row[c] += weight * source[c]
