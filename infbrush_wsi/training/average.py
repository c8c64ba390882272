"""The moving average of the weights that is previewed and saved."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

WARM_UP = 2 / 3
"""Exponent of the rise of the decay: it reaches 0.999 after 31,600 steps."""


def weight_average(network: nn.Module, decay: float, *, ramp: bool = True) -> AveragedModel:
    """A copy of the network, in evaluation mode, whose ``update_parameters`` moves it towards the network.

    After k updates the average keeps min(decay, 1 - (1 + k)^(-2/3)) of itself, so that a young average follows the
    network; the first update copies. Published: 0.995 every ten steps from the start (∞-Diff's code).

    Args:
        network: whose weights are averaged.
        decay: share that an old average keeps in one step, in (0, 1).
        ramp: False keeps `decay` from the second update on, as published.
    """
    average = AveragedModel(network, multi_avg_fn=_towards(decay, ramp))
    average.module.requires_grad_(False)
    return average.eval()


def decay_at(updates: int, decay: float, *, ramp: bool = True) -> float:
    """Share of itself that the average keeps in the update after `updates` others."""
    return min(decay, 1 - math.pow(1 + updates, -WARM_UP)) if ramp or not updates else decay


def _towards(decay: float, ramp: bool) -> Callable[..., None]:
    @torch.no_grad()
    def move(averaged: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
        torch._foreach_lerp_(averaged, current, 1 - decay_at(int(updates), decay, ramp=ramp))

    return move
