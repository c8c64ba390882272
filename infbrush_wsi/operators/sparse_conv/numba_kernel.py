"""The convolution on the CPU: numba kernels over CSR pairs, forward and both gradients.

Work is cut into a fixed number of row blocks and partial weight gradients are added in block order, so the result
does not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from infbrush_wsi.operators.torch_threads import torch_threads
from infbrush_wsi.points.support import Neighbours

ROW_BLOCKS = 32


@numba.njit(parallel=True, cache=True)
def _convolve(x, weight, indptr, indices, taps, out):  # type: ignore[no-untyped-def] # pragma: no cover
    channels = x.shape[1]
    for i in numba.prange(len(indptr) - 1):
        row = out[i]
        for p in range(indptr[i], indptr[i + 1]):
            source = x[indices[p]]
            tap = weight[taps[p]]
            for c in range(channels):
                row[c] += source[c] * tap[c]


@numba.njit(parallel=True, cache=True)
def _weight_gradient(x, gradient, indptr, indices, taps, partial):  # type: ignore[no-untyped-def] # pragma: no cover
    rows = len(indptr) - 1
    channels = x.shape[1]
    blocks = partial.shape[0]
    for b in numba.prange(blocks):
        mine = partial[b]
        for i in range(b * rows // blocks, (b + 1) * rows // blocks):
            g = gradient[i]
            for p in range(indptr[i], indptr[i + 1]):
                source = x[indices[p]]
                tap = mine[taps[p]]
                for c in range(channels):
                    tap[c] += source[c] * g[c]


class SparseDepthwiseNumba(torch.autograd.Function):
    """Autograd wrapper; float32 and float64 on the CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, neighbours: Neighbours) -> Tensor:
        """(N, C), (k², C) → (N, C)."""
        ctx.save_for_backward(x, weight)
        ctx.neighbours = neighbours
        return _run(x, weight, neighbours)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Gradients of input and weight. The pair relation is symmetric, so the input's is a convolution too."""
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        n: Neighbours = ctx.neighbours
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = _run(gradient, weight.flip(0), n)
        if ctx.needs_input_grad[1]:
            partial = np.zeros((ROW_BLOCKS, *weight.shape), x.detach().numpy().dtype)
            with torch_threads():
                _weight_gradient(_array(x), _array(gradient), *_pairs(n), partial)
            dw = torch.from_numpy(partial.sum(axis=0))
        return dx, dw, None


def _run(x: Tensor, weight: Tensor, neighbours: Neighbours) -> Tensor:
    out = torch.zeros_like(x, memory_format=torch.contiguous_format)
    with torch_threads():
        _convolve(_array(x), _array(weight), *_pairs(neighbours), out.numpy())
    return out


def _pairs(n: Neighbours) -> tuple[Any, Any, Any]:
    return n.indptr.numpy(), n.indices.numpy(), n.taps.numpy()


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()
