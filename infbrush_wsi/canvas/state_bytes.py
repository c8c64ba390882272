"""A frame's state as safetensors, in memory or in a file: tensors with names, no code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from infbrush_wsi.canvas.trajectory import FrameState
from infbrush_wsi.errors import PlanError

SHAPES = {"grids": (5, True), "values": (2, True), "present": (1, False), "kinds": (1, False), "guide": (4, True)}
"""Dimensions of a frame's tensors, and whether they are of floats."""
MOST_STEPS, MOST_BARRIERS, MOST_PARTS = 1000, 1024, 16


def to_tensors(state: FrameState) -> dict[str, Tensor]:
    """Named tensors of a state."""
    tensors = {"grids": state.grids.contiguous(), "values": state.values.contiguous()}
    tensors["present"] = torch.tensor(state.present, dtype=torch.int64)
    if state.guide is not None:
        tensors["guide"] = state.guide.contiguous()
    kinds = [0 if value is None else len(value) for value in state.sums[0]]
    tensors["kinds"] = torch.tensor(kinds, dtype=torch.int64)
    for step, values in enumerate(state.sums):
        for barrier, value in enumerate(values):
            for part, tensor in enumerate(value or ()):
                tensors[f"sum-{step}-{barrier}-{part}"] = tensor.contiguous()
    return tensors


def from_tensors(tensors: Mapping[str, Tensor]) -> FrameState:
    """The way back.

    Raises:
        PlanError: if a tensor is missing.
    """
    try:
        _check(tensors)
        grids, kinds = tensors["grids"], tensors["kinds"].tolist()
        sums = tuple(
            tuple(
                tuple(tensors[f"sum-{step}-{barrier}-{part}"] for part in range(parts)) if parts else None
                for barrier, parts in enumerate(kinds)
            )
            for step in range(len(grids))
        )
        present = tuple(tensors["present"].tolist())
        return FrameState(present, grids, sums, tensors.get("guide"), tensors["values"])
    except KeyError as error:
        raise PlanError(f"a frame of the plan has no {error}: the plan is damaged, make it again") from error


def _check(tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that no frame has; whether they are those of a canvas is asked where they are used.

    Raises:
        PlanError: naming the first.
    """
    for name, (dimensions, floats) in SHAPES.items():
        if name not in tensors and name == "guide":
            continue
        tensor = tensors[name]
        if tensor.ndim != dimensions or tensor.is_floating_point() is not floats or not tensor.numel() > 0:
            raise PlanError(f"a frame of the plan has {name} {tuple(tensor.shape)} of {tensor.dtype}: make it again")
    kinds = tensors["kinds"].tolist()
    if len(tensors["grids"]) > MOST_STEPS or len(kinds) > MOST_BARRIERS or not all(0 <= k <= MOST_PARTS for k in kinds):
        raise PlanError("a frame of the plan says of more steps or sums than there can be: make the plan again")


def dump_state(state: FrameState) -> bytes:
    """State → bytes."""
    data: bytes = save(to_tensors(state))
    return data


def load_state(data: bytes | bytearray | memoryview) -> FrameState:
    """Bytes → state.

    Raises:
        PlanError: if the bytes are damaged.
    """
    try:
        values: dict[str, Any] = load(bytes(data))
    except SafetensorError as error:
        raise PlanError(f"a frame of the plan cannot be read ({error}); make the plan again") from error
    return from_tensors(values)
