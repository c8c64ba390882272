"""The moving average of the weights that is previewed and saved."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

WARM_UP = 2 / 3
"""Exponent of the rise of the decay: it reaches 0.999 after 31,600 steps."""


def weight_average(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of the network, in evaluation mode, whose ``update_parameters`` moves it towards the network.

    After k updates the average keeps min(decay, 1 - (1 + k)^(-2/3)) of itself, so that a young average follows the
    network; the first update copies. Published: 0.995 every ten steps from the start (∞-Diff's code).

    Args:
        network: whose weights are averaged.
        decay: share that an old average keeps in one step, in (0, 1).
    """
    average = AveragedModel(network, multi_avg_fn=_towards(decay))
    average.module.requires_grad_(False)
    return average.eval()


def decay_at(updates: int, decay: float) -> float:
    """Share of itself that the average keeps in the update after `updates` others."""
    return min(decay, 1 - math.pow(1 + updates, -WARM_UP))


def _towards(decay: float) -> Callable[..., None]:
    @torch.no_grad()
    def move(averaged: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
        torch._foreach_lerp_(averaged, current, 1 - decay_at(int(updates), decay))

    return move
