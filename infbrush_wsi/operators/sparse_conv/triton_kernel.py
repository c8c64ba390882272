"""The convolution on a GPU: Triton kernels over CSR pairs, forward and both gradients.

Triton is imported on the first call. Nothing here waits for the GPU: sizes that depend on the pairs are bounded by
sizes that are known.
"""

from __future__ import annotations

import torch
from torch import Tensor

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators.sparse_conv.tap_segments import tap_segments
from infbrush_wsi.operators.triton_support import available, blocks_grid, language_dtype, require_triton, sum_dtype

__all__ = ["available", "convolve", "weight_gradient"]

_PURPOSE = "run the sparse convolution on a GPU"


def convolve(
    x: Tensor,
    weight: Tensor,
    indptr: Tensor,
    indices: Tensor,
    taps: Tensor,
    flip: bool,
    residual: Tensor | None = None,
    full: float = 0.0,
) -> Tensor:
    """``out_i = r_i + (full / n_i) Σ_p w[taps[p]] * x[indices[p]]`` over the n_i pairs p of row i.

    Sums are kept in float32 (float64 for float64) in the order of the pairs: the result is the same bits every time.

    Args:
        x: (N, C) float16, bfloat16, float32 or float64, any C.
        weight: (k², C), of any of these dtypes.
        indptr: (N + 1,) int64.
        indices: (P,) int32, below N.
        taps: (P,) int16, below k².
        flip: use ``w[k² - 1 - tap]``. As j is a neighbour of i whenever i is one of j, by the opposite tap, this makes
            the gradient of the input out of the gradient of the output.
        residual: (N, C), added at the end before rounding; None: nothing.
        full: neighbours of a point in a full neighbourhood, see `op.sparse_depthwise`. 0: sums are not multiplied.

    Returns:
        (N, C), dtype of `x`.

    Raises:
        MissingExtraError: without triton.
        ConfigError: if the values are not on a GPU that Triton knows, or arrays do not fit each other.
    """
    triton = require_triton(x, _PURPOSE)
    from infbrush_wsi.operators.sparse_conv.triton_programs import convolve_rows

    _check(x, weight, (len(weight), x.shape[1]), indptr, indices, taps)
    x, weight = x.contiguous(), weight.contiguous()
    rest = x if residual is None else residual.contiguous()
    _check(x, rest, (len(x), x.shape[1]), indptr, indices, taps)
    rows, channels = x.shape
    if not len(indices):
        return torch.zeros_like(x) if residual is None else residual.to(x.dtype, copy=True)
    out = torch.empty_like(x)
    if out.numel():
        with torch.cuda.device_of(x):
            convolve_rows[blocks_grid(triton, rows, channels)](
                x, weight, indptr, indices, taps, rest, out, rows, len(weight) - 1, full,
                CHANNELS=channels, FLIP=flip, DENSITY=full > 0, RESIDUAL=residual is not None,
                SUM=language_dtype(sum_dtype(x, weight)),
            )  # fmt: skip
    return out


def weight_gradient(
    x: Tensor,
    gradient: Tensor,
    indptr: Tensor,
    indices: Tensor,
    taps: Tensor,
    taps_count: int,
    deterministic: bool = True,
) -> Tensor:
    """``dw[t] = Σ gradient_i * x_j`` over the pairs (i, j) of tap t.

    Pairs are sorted by tap once for a set of points, and cut into segments of bounded length. Segments are summed in
    parallel, then the segments of a tap in a fixed order.

    Args:
        x: (N, C) input of the convolution.
        gradient: (N, C) gradient of its output.
        indptr: (N + 1,) int64.
        indices: (P,) int32.
        taps: (P,) int16.
        taps_count: k².
        deterministic: add up in a fixed order, so that a training run can be repeated bit by bit. This is the default
            whatever `torch.are_deterministic_algorithms_enabled` says, because it costs one more small kernel only: the
            partial sums are less than a hundredth of the values read. False adds segments by atomics as they end.

    Returns:
        (k², C) float32; float64 if `x` or `gradient` is.

    Raises:
        MissingExtraError: without triton.
        ConfigError: if the values are not on a GPU that Triton knows, or arrays do not fit each other.
    """
    triton = require_triton(x, _PURPOSE)
    from infbrush_wsi.operators.sparse_conv.triton_programs import add_partials, correlate_segments

    _check(x, gradient, (len(x), x.shape[1]), indptr, indices, taps)
    x, gradient = x.contiguous(), gradient.contiguous()
    channels, dtype = x.shape[1], sum_dtype(x, gradient)
    out = x.new_zeros(taps_count, channels, dtype=dtype)
    if not channels or not len(indices):
        return out
    s = tap_segments(taps, indptr, indices, taps_count)
    sums = x.new_empty(len(s.starts), channels, dtype=dtype) if deterministic else out
    number = language_dtype(dtype)
    with torch.cuda.device_of(x):
        correlate_segments[blocks_grid(triton, len(s.starts), channels)](
            x, gradient, s.rows, s.sources, s.starts, s.stops, s.taps, sums, len(s.starts),
            CHANNELS=channels, ATOMIC=not deterministic, SUM=number,
        )  # fmt: skip
        if deterministic:
            columns = min(32, max(16, triton.next_power_of_2(channels)))
            add_partials[(taps_count, triton.cdiv(channels, columns))](
                sums, s.bounds, out, CHANNELS=channels, SUM=number, ROWS=64, COLUMNS=columns, num_warps=4
            )
    return out


def _check(x: Tensor, other: Tensor, shape: tuple[int, int], indptr: Tensor, indices: Tensor, taps: Tensor) -> None:
    # A kernel that is given too short an array reads memory that is not its own.
    if other.shape != shape or len(indptr) != len(x) + 1 or len(indices) != len(taps):
        raise ConfigError(
            f"the arrays of a sparse convolution do not fit each other: values {tuple(x.shape)}, {tuple(other.shape)} "
            f"in place of {shape}, {len(indptr)} row pointers, {len(indices)} indices, {len(taps)} taps; "
            "pass the neighbour map that was made for these points"
        )
    if len({t.device for t in (x, other, indptr, indices, taps)}) > 1:
        raise ConfigError(f"values are on {x.device}, their neighbours on {indices.device}; move both to one device")
