"""Conditions that are vectors: checked, and as a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.layout import EmbeddingGrid
from infbrush_wsi.errors import ConditionError


def finite_rows(values: Any, width: int, what: str) -> NDArray[np.float32]:
    """One vector (width,) or several (M, width) as float32 (M, width).

    Args:
        values: as the user gave them.
        width: that the model takes.
        what: how messages call one.

    Raises:
        ConditionError: for anything else.
    """
    try:
        rows = np.array(values, np.float32, ndmin=2)
    except (TypeError, ValueError) as error:
        raise ConditionError(f"{what} must be an array of numbers: {error}") from error
    if rows.ndim != 2 or rows.shape[1] != width or not np.isfinite(rows).all():
        raise ConditionError(f"{what} must be finite with shape ({width},) or (M, {width}), not {rows.shape}")
    return rows


def grid_batch(layout: EmbeddingGrid, width: int, what: str) -> ConditionBatch:
    """One row for each vector of a layout.

    Args:
        layout: which vector is where.
        width: that the model takes.
        what: how messages call them.

    Raises:
        ConditionError: if they have another width.
    """
    found = layout.conditions.array
    if found.shape[1] != width:
        raise ConditionError(f"the grid's {what} have {found.shape[1]} values, the model takes {width}")
    rows = torch.from_numpy(np.array(found, np.float32))[:, None]
    return ConditionBatch(torch.zeros(len(rows), dtype=torch.bool), embeddings=rows)
