"""What a loader worker hands to the training step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.points.support import ScatterSupport, map_tensors


@dataclass(frozen=True)
class PointValues:
    """B images at points of their own.

    Attributes:
        values: (B, M, C) float32, T x_0 in [-1, 1].
        support: where the points are.
    """

    values: Tensor
    support: ScatterSupport


@dataclass(frozen=True)
class TrainBatch:
    """B images as point sets, with everything that depends on coordinates only.

    Attributes:
        clean: (B, N, C) float32, T x_0 in [-1, 1].
        noise: (B, N, C) float32, T ξ.
        weight: (B, N) float32 loss weights, zero at invalid pixels.
        support: neighbours, grid weights, coordinates.
        condition: of the images, some dropped.
        timestep: (B,) int64.
        log_magnification: (B,) float32, log2 of the pixel size over the finest trained one.
        origin: where each image came from, for messages.
        reference: the same images at points drawn apart from these, for systems that encode them.
    """

    clean: Tensor
    noise: Tensor
    weight: Tensor
    support: ScatterSupport
    condition: ConditionBatch
    timestep: Tensor
    log_magnification: Tensor
    origin: tuple[str, ...]
    reference: PointValues | None = None

    def to(self, device: torch.device | str) -> TrainBatch:
        """The same on another device."""
        return map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> TrainBatch:
        """The same in page-locked memory, from which a GPU copies while it computes; the loader calls this."""
        return map_tensors(self, Tensor.pin_memory)
