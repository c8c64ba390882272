"""Long rows of a sparse matrix cut into segments, so that no program works on one row for long."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from infbrush_wsi.operators.tensor_cache import cached_by_tensor

LONGEST = 128
"""Entries of a row that are added in one go."""


@dataclass(frozen=True)
class RowSegments:
    """What rows hold beyond their first `LONGEST` entries, in S segments of at most that many.

    Attributes:
        starts: (S,) int64, first entry of a segment.
        stops: (S,) int64, end of its entries; equal to the start for the segments at the end that are not used.
        bounds: (R + 1,) int64, first segment of a row.
    """

    starts: Tensor
    stops: Tensor
    bounds: Tensor


@cached_by_tensor
def row_segments(indptr: Tensor, entries: int) -> RowSegments:
    """Cut, on the device and without waiting for it: ``entries // LONGEST`` segments are enough for any matrix.

    Args:
        indptr: (R + 1,) int64, R > 0.
        entries: how many entries the matrix holds.
    """
    segments = ((indptr.diff() - 1) // LONGEST).clamp_min(0)
    bounds = torch.cat([segments.new_zeros(1), segments.cumsum(0)])
    number = torch.arange(entries // LONGEST, device=indptr.device)
    row = torch.searchsorted(bounds[1:].contiguous(), number, right=True).clamp_max(len(indptr) - 2)
    starts = torch.minimum(indptr[row] + (number - bounds[row] + 1) * LONGEST, indptr[row + 1])
    stops = torch.minimum(starts + LONGEST, indptr[row + 1])
    return RowSegments(starts, stops, bounds)
