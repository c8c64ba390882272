"""Product of a sparse matrix with dense rows on a GPU, by a Triton kernel. Triton is imported on the first call."""

from __future__ import annotations

import torch
from torch import Tensor

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators.row_segments import LONGEST, row_segments
from infbrush_wsi.operators.triton_support import available, blocks_grid, language_dtype, require_triton, sum_dtype

__all__ = ["available", "multiply"]


def multiply(indptr: Tensor, indices: Tensor, data: Tensor, x: Tensor) -> Tensor:
    """``out = M x`` for a matrix M in CSR.

    Blocks of rows run to the end of their longest row, so rows are cut: what lies beyond the first 128 entries of a row
    is summed in segments by a first launch, and the second adds those to the row in order. A grid node on which
    thousands of points fall then costs no more time than its share. The result is the same bits every time.

    Args:
        indptr: (R + 1,) int64.
        indices: (P,) int32, columns, below N.
        data: (P,) the entries, any float dtype.
        x: (N, C) float16, bfloat16, float32 or float64, any C.

    Returns:
        (R, C) float32, in which the sums are kept; float64 for float64 `x`.

    Raises:
        MissingExtraError: without triton.
        ConfigError: if the values are not on a GPU that Triton knows, or the arrays do not fit each other.
    """
    triton = require_triton(x, "multiply a sparse matrix on a GPU")
    from infbrush_wsi.operators.sparse_product_programs import multiply_rows

    _check(indptr, indices, data, x)
    rows, channels, dtype = len(indptr) - 1, x.shape[1], sum_dtype(x)
    if not len(indices):
        return x.new_zeros(rows, channels, dtype=dtype)
    out = x.new_empty(rows, channels, dtype=dtype)
    if not out.numel():
        return out
    x, number = x.contiguous(), language_dtype(dtype)
    s = row_segments(indptr, len(indices))
    long, segments = len(s.starts) > 0, len(s.starts)
    partial = x.new_empty(segments, channels, dtype=dtype) if long else out
    with torch.cuda.device_of(x):
        if long:
            multiply_rows[blocks_grid(triton, segments, channels)](
                x, indices, data, s.starts, s.stops, partial, s.bounds, partial, segments,
                CHANNELS=channels, LONGEST=LONGEST, SEGMENTS=False, SUM=number,
            )  # fmt: skip
        multiply_rows[blocks_grid(triton, rows, channels)](
            x, indices, data, indptr, indptr[1:], partial, s.bounds, out, rows,
            CHANNELS=channels, LONGEST=LONGEST, SEGMENTS=long, SUM=number,
        )  # fmt: skip
    return out


def _check(indptr: Tensor, indices: Tensor, data: Tensor, x: Tensor) -> None:
    # A kernel that is given too short an array reads memory that is not its own.
    if not len(indptr) or len(indices) != len(data) or x.ndim != 2:
        raise ConfigError(
            f"this is no sparse matrix and dense rows: {len(indptr)} row pointers, {len(indices)} columns, {len(data)} "
            f"entries, values {tuple(x.shape)}"
        )
    if len({t.device for t in (indptr, indices, data, x)}) > 1:
        raise ConfigError(f"values are on {x.device}, the matrix on {indices.device}; move both to one device")
