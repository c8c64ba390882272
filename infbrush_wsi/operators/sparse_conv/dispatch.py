"""Which implementation runs: one function that decides, and can say why."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators import triton_support
from infbrush_wsi.operators.sparse_conv.op import sparse_depthwise
from infbrush_wsi.points.support import Neighbours

Backend = Literal["numba", "triton", "spconv", "reference"]
NOT_USED = {
    "spconv": "has no depthwise convolution: a full one of C times the work stands in, on request only",
    "torchsparse": "has no depthwise convolution (its issue 149), and the fork that added one does not build with the "
    "versions of torch that this package needs",
}
"""Sparse libraries that are never chosen by themselves, and why."""


def choose_backend(x: Tensor) -> tuple[Backend, str]:
    """The back end for values like `x`, and the reason."""
    if x.device.type == "cuda":
        usable, reason = triton_support.available(x.device)
        return ("triton" if usable else "reference"), reason
    if x.device.type != "cpu":
        return "reference", f"no kernel for {x.device.type}"
    if x.dtype not in (torch.float32, torch.float64):
        return "reference", f"the numba kernel knows float32 and float64, values are {x.dtype}"
    return "numba", f"{x.dtype} on the CPU"


def sparse_depthwise_conv(
    x: Tensor,
    weight: Tensor,
    neighbours: Neighbours,
    backend: Backend | None = None,
    *,
    full: float = 0.0,
    residual: Tensor | None = None,
) -> Tensor:
    """``out_i = r_i + (full / n_i) Σ_j w[tap(i, j)] x_j``, computed only at the given points (submanifold).

    Args:
        x: (N, C) values of all points of the batch.
        weight: (k * k, C).
        neighbours: who is whose neighbour, with kernel size k.
        backend: force one; None: `choose_backend`.
        full: number of neighbours that counts as full density (``full / n_i`` is one over it); 0: plain sums.
        residual: (N, C) to add; None: nothing.

    Returns:
        (N, C), dtype of `x`.

    Raises:
        ConfigError: for an unknown back end, or neighbours of other points or of another kernel size.
    """
    backend = backend or choose_backend(x)[0]
    if backend not in get_args(Backend):
        choices = ", ".join(map(repr, get_args(Backend)))
        raise ConfigError(f"no sparse convolution back end is called {backend!r}; choose one of {choices}")
    n = neighbours
    if len(weight) != n.kernel_size**2 or len(x) != len(n.indptr) - 1:
        raise ConfigError(
            f"the neighbours are of {len(n.indptr) - 1} points and a kernel of {n.kernel_size}² taps, the values of "
            f"{len(x)} points and the weight of {len(weight)} taps; prepare the points with the model's kernel size"
        )
    return sparse_depthwise(x, weight, n.indptr, n.indices, n.taps, residual, full, False, backend)  # type: ignore[no-any-return]
