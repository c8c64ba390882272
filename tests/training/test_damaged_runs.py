"""Directories of runs that something has damaged, or somebody has changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from infbrush_wsi.errors import CheckpointError
from infbrush_wsi.training.checkpoint import checkpoints, read_state
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.record import read_metrics
from infbrush_wsi.training.run import train
from infbrush_wsi.training.statistics import measured_once

Make = Callable[..., RunConfig]


@pytest.mark.parametrize(
    "change",
    [
        {"step": "6"}, {"step": -1}, {"step": 1.5}, {"step": None}, {"step": 10**40}, {"facts": []}, {"config": "x"},
    ],
)  # fmt: skip
def test_plain_values_that_are_none(tmp_path: Path, change: dict[str, Any]) -> None:
    record = {"step": 6, "config": {}, "facts": {}, "ema_step": 6} | change
    (tmp_path / "state.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="is damaged"):
        read_state(tmp_path)


def test_tensors_that_torch_would_broadcast_or_convert_are_refused(config: Make, tmp_path: Path) -> None:
    train(config(optim__steps=2), tmp_path / "run")
    last = checkpoints(tmp_path / "run")[-1]

    def refused(file: str, change: Callable[[dict[str, torch.Tensor]], None], said: str) -> None:
        kept = (last / file).read_bytes()
        tensors = load_file(last / file)
        change(tensors)
        save_file(tensors, last / file)
        with pytest.raises(CheckpointError, match=said):
            train(config(optim__steps=3), tmp_path / "run", resume=True)
        (last / file).write_bytes(kept)

    name = next(key for key, tensor in load_file(last / "model.safetensors").items() if tensor.ndim == 1)
    refused("model.safetensors", lambda t: t.update({name: t[name][:1].clone()}), "not")
    refused("ema.safetensors", lambda t: t.update({name: t[name].to(torch.int32)}), "int32")
    refused("optimizer.safetensors", lambda t: t.pop(f"{name}/exp_avg_sq"), "not whole")
    refused("optimizer.safetensors", lambda t: t.update({f"{name}/step": torch.ones(2)}), "not")
    train(config(optim__steps=3), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    "stored",
    [{"mean": [0.0], "std": "x"}, {"mean": 3}, {"mean": [float("nan")], "std": 1}, {"mean": [0], "std": 0}, [1]],
)
def test_moments_that_are_no_numbers(stored: Any) -> None:
    with pytest.raises(CheckpointError, match="moments of the data"):
        measured_once({"statistics": stored}, lambda: None)  # type: ignore[arg-type,return-value]


def test_damaged_lines_of_metrics_are_passed_over(tmp_path: Path) -> None:
    lines = [b'{"step": 1, "loss": 2.0}', b"\xff\xfe", b"[]", b'{"loss": 1}', b'{"step": "x"}', b"[" * 5000]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join([*lines, b'{"step": 2, "loss": 1.0}', b'{"step": 3']))
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
