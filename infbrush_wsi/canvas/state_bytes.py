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
