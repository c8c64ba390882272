"""Device code of the sparse depthwise convolution. Imports triton: only `triton_kernel` imports this, on use.

Every kernel gives a block of rows times a block of channels to one program. Channels lie next to each other in memory,
so a row is read in whole sectors wherever its neighbour is, and `CHANNELS` is known when compiling, so that any even
number of channels is read by vector loads and no mask is spent on numbers that fill their blocks. A row's pairs are
added one after another into float32 (float64 for float64): the sum's order is that of the pairs.
"""
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

from infbrush_wsi.operators.triton_tuning import tuned


@tuned()
@triton.jit
def convolve_rows(
    x,  # (N, CHANNELS)
    weight,  # (taps_count, CHANNELS)
    indptr,  # (N + 1,) int64
    indices,  # (P,) int32
    taps,  # (P,) int16
    residual,  # (N, CHANNELS), read if RESIDUAL
    out,  # (N, CHANNELS)
    rows,
    last_tap,
    full,
    CHANNELS: tl.constexpr,
    FLIP: tl.constexpr,
    DENSITY: tl.constexpr,
    RESIDUAL: tl.constexpr,
    SUM: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Sum a row's pairs, each times the weight of its tap; divide by the density, add the residual."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < CHANNELS
    start = tl.load(indptr + row, mask=row < rows, other=0)
    stop = tl.load(indptr + row + 1, mask=row < rows, other=0)
    degree, last = (stop - start).to(tl.int32), tl.maximum(stop - 1, 0)
    total = tl.zeros((ROWS, COLUMNS), SUM)
    for step in range(0, tl.max(degree, axis=0), UNROLL):
        for ahead in tl.static_range(UNROLL):  # the loads of all these pairs are in flight before the first is added
            pair = tl.minimum(start + step + ahead, last)
            source = tl.load(indices + pair).to(tl.int64)
            tap = tl.load(taps + pair).to(tl.int32)
            if FLIP:
                tap = last_tap - tap
            mask = (step + ahead < degree[:, None]) & inside[None, :]
            value = tl.load(x + source[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
            factor = tl.load(weight + tap[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
            total += value.to(SUM) * factor.to(SUM)
    at = row[:, None] * CHANNELS + column[None, :]
    mask = (row < rows)[:, None] & inside[None, :]
    if DENSITY:
        total *= (full / tl.maximum(degree, 1).to(SUM))[:, None]
    if RESIDUAL:
        total += tl.load(residual + at, mask=mask, other=0.0).to(SUM)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=mask)


@tuned(reset_to_zero=["out"])
@triton.jit
def correlate_segments(
    x,  # (N, CHANNELS)
    gradient,  # (N, CHANNELS)
    pair_rows,  # (P,) int32, pairs in the order of their taps
    pair_sources,  # (P,) int32
    starts,  # (segments,) int64, the pairs of a segment
    stops,  # (segments,) int64
    segment_taps,  # (segments,) int64, used by ATOMIC only
    out,  # (segments, CHANNELS), or (taps_count, CHANNELS) for ATOMIC
    segments,
    CHANNELS: tl.constexpr,
    ATOMIC: tl.constexpr,
    SUM: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Sum gradient times value over the pairs of a segment."""
    segment = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < CHANNELS
    start = tl.load(starts + segment, mask=segment < segments, other=0)
    stop = tl.load(stops + segment, mask=segment < segments, other=0)
    length, last = (stop - start).to(tl.int32), tl.maximum(stop - 1, 0)
    total = tl.zeros((ROWS, COLUMNS), SUM)
    for step in range(0, tl.max(length, axis=0), UNROLL):
        for ahead in tl.static_range(UNROLL):
            pair = tl.minimum(start + step + ahead, last)
            row = tl.load(pair_rows + pair).to(tl.int64)
            source = tl.load(pair_sources + pair).to(tl.int64)
            mask = (step + ahead < length[:, None]) & inside[None, :]
            value = tl.load(x + source[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
            upstream = tl.load(gradient + row[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
            total += value.to(SUM) * upstream.to(SUM)
    if ATOMIC:
        tap = tl.load(segment_taps + segment, mask=segment < segments, other=0)
        used = ((segment < segments) & (length > 0))[:, None] & inside[None, :]
        tl.atomic_add(out + tap[:, None] * CHANNELS + column[None, :], total, mask=used, sem="relaxed")
    else:
        at = out + segment[:, None] * CHANNELS + column[None, :]
        tl.store(at, total, mask=(segment < segments)[:, None] & inside[None, :])


@triton.jit
def add_partials(
    partial,  # (segments, CHANNELS)
    bounds,  # (taps_count + 1,) int64, the segments of a tap
    out,  # (taps_count, CHANNELS)
    CHANNELS: tl.constexpr,
    SUM: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Sum the segments of a tap. Not tuned: here the order of the sum depends on the blocks."""
    tap = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < CHANNELS
    stop = tl.load(bounds + tap + 1)
    total = tl.zeros((ROWS, COLUMNS), SUM)
    for first in range(tl.load(bounds + tap), stop, ROWS):
        segment = first + tl.arange(0, ROWS)
        mask = (segment < stop)[:, None] & inside[None, :]
        total += tl.load(partial + segment[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
    tl.store(out + tap * CHANNELS + column, tl.sum(total, axis=0), mask=inside)
