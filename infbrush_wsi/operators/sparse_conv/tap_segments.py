"""Pairs sorted by tap and cut into segments of bounded length: the order in which the weight gradient adds up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from infbrush_wsi.operators.tensor_cache import cached_by_tensor

_SHORTEST, _MOST_SEGMENTS = 64, 16384


@dataclass(frozen=True)
class TapSegments:
    """P pairs in the order of their taps, and S segments of them, none across two taps.

    Attributes:
        rows: (P,) int32, output point of a pair.
        sources: (P,) int32, its input point.
        starts: (S,) int64, first pair of a segment.
        stops: (S,) int64, end of its pairs; equal to the start for the segments at the end that are not used.
        taps: (S,) int64.
        bounds: (taps_count + 1,) int64, first segment of a tap.
    """

    rows: Tensor
    sources: Tensor
    starts: Tensor
    stops: Tensor
    taps: Tensor
    bounds: Tensor


def segment_length(pairs: int) -> int:
    """Pairs a segment: few, to fill a GPU; more where there would be too many segments to add afterwards."""
    length = _SHORTEST
    while length * _MOST_SEGMENTS < pairs:
        length *= 2
    return length


@cached_by_tensor
def tap_segments(taps: Tensor, indptr: Tensor, indices: Tensor, taps_count: int) -> TapSegments:
    """Sort and cut, on the device and without waiting for it.

    The number of segments depends on how the pairs fall on taps, which only the device knows. It is at most
    ``pairs // length + taps_count``; that many are made and those left over are empty.

    Args:
        taps: (P,) int16, below `taps_count`.
        indptr: (N + 1,) int64.
        indices: (P,) int32.
        taps_count: k².
    """
    pairs, device = len(taps), taps.device
    length = segment_length(pairs)
    sorted_taps, order = torch.sort(taps.int(), stable=True)
    points = torch.arange(len(indptr) - 1, dtype=torch.int32, device=device)
    rows = torch.repeat_interleave(points, indptr.diff(), output_size=pairs)
    first = torch.searchsorted(sorted_taps, torch.arange(taps_count + 1, dtype=torch.int32, device=device))
    segments = (first.diff() + length - 1) // length
    bounds = torch.cat([segments.new_zeros(1), segments.cumsum(0)])
    number = torch.arange(pairs // length + taps_count, device=device)
    tap = torch.searchsorted(bounds[1:].contiguous(), number, right=True).clamp_max(taps_count - 1)
    starts = torch.minimum(first[tap] + (number - bounds[tap]) * length, first[tap + 1])
    stops = torch.minimum(starts + length, first[tap + 1])
    return TapSegments(rows[order], indices[order], starts, stops, tap, bounds)
