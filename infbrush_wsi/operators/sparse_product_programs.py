"""Device code of the sparse product. Imports triton: only `sparse_product_triton` imports this, on use."""
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

from infbrush_wsi.operators.triton_tuning import tuned


@tuned()
@triton.jit
def multiply_rows(
    x,  # (N, CHANNELS)
    indices,  # (P,) int32
    data,  # (P,)
    starts,  # (rows,) int64, first entry of a row
    stops,  # (rows,) int64
    partial,  # (segments, CHANNELS), sums of what lies beyond LONGEST entries; read if SEGMENTS
    bounds,  # (rows + 1,) int64, first segment of a row; read if SEGMENTS
    out,  # (rows, CHANNELS)
    rows,
    CHANNELS: tl.constexpr,
    LONGEST: tl.constexpr,
    SEGMENTS: tl.constexpr,
    SUM: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Sum a row's first LONGEST entries, then its segments."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    exists, inside = row < rows, column < CHANNELS
    start = tl.load(starts + row, mask=exists, other=0)
    stop = tl.load(stops + row, mask=exists, other=0)
    length, last = tl.minimum(stop - start, LONGEST).to(tl.int32), tl.maximum(stop - 1, 0)
    total = tl.zeros((ROWS, COLUMNS), SUM)
    for step in range(0, tl.max(length, axis=0), UNROLL):
        for ahead in tl.static_range(UNROLL):  # the loads of all these entries are in flight before the first is added
            entry = tl.minimum(start + step + ahead, last)
            source = tl.load(indices + entry).to(tl.int64)
            factor = tl.load(data + entry).to(SUM)
            mask = (step + ahead < length[:, None]) & inside[None, :]
            value = tl.load(x + source[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
            total += factor[:, None] * value.to(SUM)
    if SEGMENTS:
        first = tl.load(bounds + row, mask=exists, other=0)
        count = (tl.load(bounds + row + 1, mask=exists, other=0) - first).to(tl.int32)
        for step in range(tl.max(count, axis=0)):
            mask = (step < count)[:, None] & inside[None, :]
            total += tl.load(partial + (first + step)[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
    at = out + row[:, None] * CHANNELS + column[None, :]
    tl.store(at, total, mask=exists[:, None] & inside[None, :])
