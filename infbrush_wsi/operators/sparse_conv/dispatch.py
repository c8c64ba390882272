"""Which implementation runs: one function that decides, and can say why."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators.sparse_conv.numba_kernel import SparseDepthwiseNumba
from infbrush_wsi.operators.sparse_conv.reference import sparse_depthwise_reference
from infbrush_wsi.points.support import Neighbours

Backend = Literal["numba", "reference"]


def choose_backend(x: Tensor) -> tuple[Backend, str]:
    """The back end for values like `x`, and the reason."""
    if x.device.type != "cpu":
        return "reference", f"the numba kernel runs on the CPU only, values are on {x.device}"
    if x.dtype not in (torch.float32, torch.float64):
        return "reference", f"the numba kernel knows float32 and float64, values are {x.dtype}"
    return "numba", "values are float32 or float64 on the CPU"


def sparse_depthwise_conv(x: Tensor, weight: Tensor, neighbours: Neighbours, backend: Backend | None = None) -> Tensor:
    """``out_i = Σ_j w[tap(i, j)] * x_j``, computed only at the given points (submanifold).

    Args:
        x: (N, C) values of all points of the batch.
        weight: (k * k, C).
        neighbours: who is whose neighbour, with kernel size k.
        backend: force one; None: `choose_backend`.

    Returns:
        (N, C), dtype of `x`.

    Raises:
        ConfigError: for an unknown back end.
    """
    backend = backend or choose_backend(x)[0]
    if backend == "numba":
        return SparseDepthwiseNumba.apply(x, weight, neighbours)  # type: ignore[no-any-return,no-untyped-call]
    if backend == "reference":
        return sparse_depthwise_reference(x, weight.to(x.dtype), neighbours)
    raise ConfigError(f"no sparse convolution back end is called {backend!r}; choose 'numba' or 'reference'")
