"""Classifier-free guidance."""

from __future__ import annotations

from torch import Tensor


def guided(output: Tensor, scale: float) -> Tensor:
    """``u + w (c - u)`` of the halves [c; u] of a batch.

    Args:
        output: (2B, N, C), conditional then unconditional predictions.
        scale: w; 1 is plain conditional sampling, 0 unconditional.

    Returns:
        (B, N, C).
    """
    conditional, unconditional = output.chunk(2, dim=0)
    return unconditional + scale * (conditional - unconditional)
