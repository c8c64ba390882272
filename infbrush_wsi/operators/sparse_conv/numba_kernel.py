"""The convolution on the CPU: numba kernels over CSR pairs.

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

ROW_BLOCKS = 32
FAST = {"contract", "nsz"}
"""A product and a sum may become one instruction; the order of the sums stays."""


def convolve(
    x: Tensor,
    weight: Tensor,
    indptr: Tensor,
    indices: Tensor,
    taps: Tensor,
    residual: Tensor | None,
    full: float,
    flip: bool,
) -> Tensor:
    """See `op.sparse_depthwise`; float32 or float64 on the CPU."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    values, rest = _array(x), _array(x if residual is None else residual)
    pairs = (indptr.numpy(), indices.numpy(), taps.numpy())
    factor = values.dtype.type(full)
    with torch_threads():
        _convolve(
            values, _array(weight.flip(0) if flip else weight), *pairs, rest, residual is not None, factor, out.numpy()
        )
    return out


def weight_gradient(x: Tensor, upstream: Tensor, indptr: Tensor, indices: Tensor, taps: Tensor, size: int) -> Tensor:
    """See `op.sparse_depthwise_weight`; float32 or float64 on the CPU."""
    values = _array(x)
    partial = np.zeros((ROW_BLOCKS, size, x.shape[1]), values.dtype)
    with torch_threads():
        _weight_gradient(values, _array(upstream), indptr.numpy(), indices.numpy(), taps.numpy(), partial)
    return torch.from_numpy(partial.sum(axis=0))


@numba.njit(parallel=True, cache=True, fastmath=FAST)
def _convolve(x, weight, indptr, indices, taps, residual, add, full, out):  # type: ignore[no-untyped-def] # pragma: no cover
    # Unsigned indices: numba would ask of signed ones whether they count from the end.
    channels = x.shape[1]
    for i in numba.prange(len(indptr) - 1):
        row, rest = out[i], residual[i]
        first, last = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        for c in range(channels):
            row[c] = 0
        for p in range(first, last):
            source, tap = x[np.uint64(indices[p])], weight[np.uint64(taps[p])]
            for c in range(channels):
                row[c] += source[c] * tap[c]
        scale = full / x.dtype.type(last - first) if full > 0 else x.dtype.type(1)
        if add:
            for c in range(channels):
                row[c] = rest[c] + scale * row[c]
        elif full > 0:
            for c in range(channels):
                row[c] *= scale


@numba.njit(parallel=True, cache=True, fastmath=FAST)
def _weight_gradient(x, gradient, indptr, indices, taps, partial):  # type: ignore[no-untyped-def] # pragma: no cover
    rows = len(indptr) - 1
    channels = x.shape[1]
    blocks = partial.shape[0]
    for b in numba.prange(blocks):
        mine = partial[b]
        for i in range(b * rows // blocks, (b + 1) * rows // blocks):
            g = gradient[i]
            for p in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
                source, tap = x[np.uint64(indices[p])], mine[np.uint64(taps[p])]
                for c in range(channels):
                    tap[c] += source[c] * g[c]


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()
