"""What a loader worker hands to a training step of INFD."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.operators.query import Query
from infbrush_wsi.points.support import map_tensors


@dataclass(frozen=True)
class FieldBatch:
    """B windows: as the encoder sees them, and a part of each at a pixel size of its own.

    Attributes:
        image: (B, C, S, S) float32 in [-1, 1], at the coarsest pixel size.
        target: (B, C, P, P) float32, the part that is to be rendered.
        valid: (B, 1, P, P) bool, pixels that count.
        query: where the target's pixels are, in pixels of `image`.
        condition: of the windows, some dropped.
        timestep: (B,) int64.
        noise: (B, N, c) float32, white, for the latent of N cells.
        origin: where each window came from, for messages.
    """

    image: Tensor
    target: Tensor
    valid: Tensor
    query: Query
    condition: ConditionBatch
    timestep: Tensor
    noise: Tensor
    origin: tuple[str, ...]

    def to(self, device: torch.device | str) -> FieldBatch:
        """The same on another device."""
        return map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> FieldBatch:
        """The same in page-locked memory, from which a GPU copies while it computes; the loader calls this."""
        return map_tensors(self, Tensor.pin_memory)
