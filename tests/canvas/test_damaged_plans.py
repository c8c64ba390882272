"""Plans and tiles from files that fit no canvas, or not this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from infbrush_wsi.canvas.level import load_tile
from infbrush_wsi.canvas.state_bytes import from_tensors, to_tensors
from infbrush_wsi.errors import OutputError, PlanError

CALL: dict[str, Any] = {"size": (48, 48), "num_inference_steps": 2, "tile": 32, "halo": 2}
Change = Callable[[dict[str, Any]], None]


def cut(name: str, *index: Any) -> Change:
    return lambda t: t.update({name: t[name][index].clone()})


@pytest.mark.parametrize(
    "change",
    [
        cut("grids", slice(1)),
        cut("grids", slice(None), slice(None), slice(1)),
        cut("grids", slice(None), slice(None), slice(None), slice(2)),
        cut("values", slice(None), slice(1)),
        lambda t: t.update(grids=t["grids"][0]),
        lambda t: t.update(values=t["values"].to(torch.int32)),
        lambda t: t.update(kinds=torch.tensor([1 << 40])),
        lambda t: t.update(present=torch.tensor([0, 0])),
        lambda t: t.pop("kinds"),
    ],
)
def test_a_plan_with_other_tensors_is_refused_or_said_not_to_fit(
    make_pipeline: Any, tmp_path: Path, change: Change, one_thread: None
) -> None:
    pipeline, path = make_pipeline(), tmp_path / "x.plan.safetensors"
    pipeline("Normal", **CALL).save_plan(path)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    stored = load_file(path)
    (frame,) = {name.partition("|")[0] for name in stored}
    tensors = {name.partition("|")[2]: tensor for name, tensor in stored.items()}
    change(tensors)
    save_file({f"{frame}|{name}": t.contiguous() for name, t in tensors.items()}, path, metadata=header)
    with pytest.raises(PlanError, match="again"):
        pipeline("Normal", **CALL).load_plan(path).read_region((0, 0), 0, (48, 48))


def test_a_frame_that_the_canvas_has_not(make_pipeline: Any, one_thread: None) -> None:
    canvas = make_pipeline()("Normal", **CALL)
    plan = canvas._plan()
    (state,) = plan.known(plan.stages[-1]).values()
    assert from_tensors(to_tensors(state)).grids.equal(state.grids)
    with pytest.raises(PlanError, match="frame '7/0/0', which this canvas has not"):
        make_pipeline()("Normal", **CALL)._plan().give({"7/0/0": state})


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'shape': (1" + b"9" * 90])
def test_a_tile_that_is_none(data: bytes) -> None:
    with pytest.raises(OutputError, match="a stored tile is damaged"):
        load_tile(data)
