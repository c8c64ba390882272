"""The convolution by the spconv library, through a full convolution whose weight is diagonal in the channels.

spconv (2.3) has no depthwise convolution: it refuses ``groups != 1``. A depthwise filter is a full C x C filter with
zeros off the diagonal, so spconv gives the right values at C times the arithmetic. Its own backward pass is not used:
it makes the whole C x C gradient, of which only the diagonal is wanted, and on the CPU it fails without an NVIDIA
driver. The gradient of the values is a convolution again, the gradient of the weight is summed in torch.

This is for comparison (`benchmarks/sparse_conv.py` times it where it is installed). On a GPU it has not been tried.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infbrush_wsi.errors import ConfigError, MissingExtraError
from infbrush_wsi.operators.tensor_cache import cached_by_tensor

__all__ = ["available", "convolve", "weight_gradient"]

_INSTALL = "pip install spconv, or the wheel for your CUDA such as spconv-cu126"
_DTYPES = {"cpu": (torch.float32, torch.float64), "cuda": (torch.float32, torch.float16)}


def available(device: torch.device | None = None) -> tuple[bool, str]:
    """Whether spconv can serve, and why (not). Does not import it.

    Args:
        device: where the values are; None: the CPU.
    """
    if importlib.util.find_spec("spconv") is None:
        return False, f"spconv is not installed ({_INSTALL})"
    if device is not None and device.type not in _DTYPES:
        return False, f"spconv runs on a CPU or a CUDA device, values are on {device}"
    return True, "spconv is installed; it has no depthwise convolution, a full one of C times the work stands in"


def convolve(x: Tensor, weight: Tensor, indptr: Tensor, indices: Tensor, taps: Tensor, flip: bool) -> Tensor:
    """``out_i = Σ_p w[taps[p]] * x[indices[p]]`` over the pairs p of row i.

    Args:
        x: (N, C) float32 or float64 on the CPU, float32 or float16 on a GPU.
        weight: (k², C).
        indptr: (N + 1,) int64.
        indices: (P,) int32.
        taps: (P,) int16.
        flip: use ``w[k² - 1 - tap]``, which makes the gradient of the input out of the gradient of the output.

    Returns:
        (N, C), dtype of `x`.

    Raises:
        MissingExtraError: without spconv.
        ConfigError: for a dtype or device that spconv does not know.
    """
    functional, algorithm = _spconv()
    if x.dtype not in _DTYPES.get(x.device.type, ()):
        raise ConfigError(f"spconv cannot convolve {x.dtype} on {x.device}; choose another sparse convolution back end")
    if not x.numel() or not len(indices):
        return torch.zeros_like(x, memory_format=torch.contiguous_format)
    table = pair_table(taps, indptr, indices, len(weight))
    side = round(len(weight) ** 0.5)
    weight = (weight.flip(0) if flip else weight).to(x.dtype)
    # spconv's layout is (outputs, rows, columns, inputs).
    filters = torch.diag_embed(weight).transpose(0, 1).reshape(x.shape[1], side, side, x.shape[1]).contiguous()
    with torch.no_grad():
        out: Tensor = functional.indice_subm_conv(x.contiguous(), filters, table.pairs, table.counts, len(x), algorithm)
    return out


def weight_gradient(
    x: Tensor, gradient: Tensor, indptr: Tensor, indices: Tensor, taps: Tensor, taps_count: int
) -> Tensor:
    """``dw[t] = Σ gradient_i * x_j`` over the pairs (i, j) of tap t, in torch, tap by tap.

    Args:
        x: (N, C) input of the convolution.
        gradient: (N, C) gradient of its output.
        indptr: (N + 1,) int64.
        indices: (P,) int32.
        taps: (P,) int16.
        taps_count: k².

    Returns:
        (k², C) float32; float64 if `x` is.
    """
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    out = x.new_zeros(taps_count, x.shape[1], dtype=dtype)
    if len(indices):
        table = pair_table(taps, indptr, indices, taps_count)
        for tap, count in enumerate(table.counts.tolist()):
            source, row = table.pairs[:, tap, :count].long()
            out[tap] = (x[source].to(dtype) * gradient[row].to(dtype)).sum(0)
    return out


def _spconv() -> tuple[Any, Any]:
    try:
        return importlib.import_module("spconv.pytorch.functional"), importlib.import_module(
            "spconv.core"
        ).ConvAlgo.Native
    except ImportError as error:
        raise MissingExtraError(
            f"'spconv' is needed for this sparse convolution back end: {_INSTALL} ({error})"
        ) from error


@dataclass(frozen=True)
class PairTable:
    """Pairs in spconv's layout.

    Attributes:
        pairs: (2, taps_count, N) int32, input and output point of the pairs of each tap; -1 beyond their number.
        counts: (taps_count,) int32.
    """

    pairs: Tensor
    counts: Tensor


@cached_by_tensor
def pair_table(taps: Tensor, indptr: Tensor, indices: Tensor, taps_count: int) -> PairTable:
    """Sort pairs by tap into one row each; distinct points have at most one neighbour a tap, so N columns do."""
    points = len(indptr) - 1
    tap, order = torch.sort(taps.long(), stable=True)
    rows = torch.repeat_interleave(torch.arange(points, dtype=torch.int32, device=taps.device), indptr.diff())
    counts = torch.bincount(tap, minlength=taps_count)
    column = torch.arange(len(tap), device=taps.device) - (counts.cumsum(0) - counts)[tap]
    pairs = torch.full((2, taps_count, points), -1, dtype=torch.int32, device=taps.device)
    pairs[0, tap, column], pairs[1, tap, column] = indices[order], rows[order]
    return PairTable(pairs, counts.int())
