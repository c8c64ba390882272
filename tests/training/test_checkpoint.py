"""Checkpoints of model, moving average and optimiser: whole or not at all, and bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from infbrush_wsi.errors import CheckpointError, OutputError
from infbrush_wsi.training import checkpoint as module
from infbrush_wsi.training.average import weight_average
from infbrush_wsi.training.checkpoint import (
    TrainingState,
    checkpoints,
    load_checkpoint,
    read_state,
    recover_checkpoints,
    save_checkpoint,
)

Parts = tuple[nn.Module, AveragedModel, torch.optim.Optimizer]


def parts(seed: int, steps: int = 0, width: int = 5) -> Parts:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, width), nn.GELU(), nn.Linear(width, 2))
    average = weight_average(model, 0.9)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    train(model, average, optimizer, steps)
    return model, average, optimizer


def train(model: nn.Module, average: AveragedModel, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(model)


def state(step: int = 3) -> TrainingState:
    return TrainingState(step, {"optim": {"steps": 9}}, {"statistics": {"std": 0.5}})


def assert_same(a: Parts, b: Parts) -> None:
    for x, y in zip(a[0].parameters(), b[0].parameters(), strict=True):
        assert torch.equal(x, y)
    for x, y in zip(a[1].parameters(), b[1].parameters(), strict=True):
        assert torch.equal(x, y)
    assert int(a[1].n_averaged) == int(b[1].n_averaged)
    for x, y in zip(a[0].parameters(), b[0].parameters(), strict=True):
        left, right = a[2].state[x], b[2].state[y]
        assert left.keys() == right.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(left[key], right[key]) for key in left)


def test_round_trip_is_exact_and_goes_on_alike(tmp_path: Path) -> None:
    first = parts(0, steps=3)
    path = save_checkpoint(tmp_path, state(), *first, keep=2)
    second = parts(99)
    assert load_checkpoint(path, *second) == state()
    assert_same(first, second)
    for run in (first, second):
        torch.manual_seed(7)
        train(*run, 4)
    assert_same(first, second)


def test_only_the_newest_are_kept_in_order(tmp_path: Path) -> None:
    run = parts(0, 1)
    for step in (5, 10, 15, 1000000):
        save_checkpoint(tmp_path, state(step), *run, keep=3)
    assert [read_state(p).step for p in checkpoints(tmp_path)] == [10, 15, 1000000]


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state(), *parts(0, 1), keep=1)
    newer = parts(1, 2)
    save_checkpoint(tmp_path, state(), *newer, keep=1)
    found = parts(2)
    load_checkpoint(checkpoints(tmp_path)[-1], *found)
    assert_same(found, newer)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-0000003"]


@pytest.mark.parametrize("failing", ["save_file", "dumps"])
def test_a_failed_write_leaves_the_old_checkpoint_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    run = parts(0, 1)
    save_checkpoint(tmp_path, state(1), *run, keep=1)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module if failing == "save_file" else module.json, failing, full)
    with pytest.raises(OutputError, match=r"step-0000002.*No space left.*earlier checkpoints are kept"):
        save_checkpoint(tmp_path, state(2), *run, keep=1)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-0000001"]
    monkeypatch.undo()
    load_checkpoint(checkpoints(tmp_path)[0], *parts(5))


def test_what_a_killed_process_left_is_not_taken_and_is_removed(tmp_path: Path) -> None:
    run = parts(0, 1)
    path = save_checkpoint(tmp_path, state(1), *run, keep=2)
    shutil.copytree(path, path.with_name(".step-0000002.partial-123"))
    assert [p.name for p in checkpoints(tmp_path)] == ["step-0000001"]
    save_checkpoint(tmp_path, state(2), *run, keep=2)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-0000001", "step-0000002"]


def test_another_model_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, state(), *parts(0, 1), keep=1)
    with pytest.raises(CheckpointError, match="does not fit this model"):
        load_checkpoint(path, *parts(0, width=6))
    torch.manual_seed(0)
    other = nn.Linear(4, 5)
    average, optimizer = weight_average(other, 0.9), torch.optim.Adam(other.parameters())
    with pytest.raises(CheckpointError, match="parameters differ"):
        load_checkpoint(path, other, average, optimizer)


@pytest.mark.parametrize("text", ["", "[]", '{"step": 3}', '{"step": 3, "config'])
def test_damaged_state_is_told(tmp_path: Path, text: str) -> None:
    path = save_checkpoint(tmp_path, state(), *parts(0, 1), keep=1)
    (path / "state.json").write_text(text)
    with pytest.raises(CheckpointError, match="delete it to use an earlier one"):
        read_state(path)


@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors", "optimizer.safetensors"])
def test_missing_files_are_told(tmp_path: Path, name: str) -> None:
    path = save_checkpoint(tmp_path, state(), *parts(0, 1), keep=1)
    (path / name).unlink()
    with pytest.raises(CheckpointError, match=name.split(".")[0]):
        load_checkpoint(path, *parts(0))


def test_a_checkpoint_that_a_killed_process_was_about_to_replace_comes_back(tmp_path: Path) -> None:
    run = parts(0, 1)
    path = save_checkpoint(tmp_path, state(1), *run, keep=1)
    path.replace(path.with_name(".step-0000001.replaced-77"))
    assert checkpoints(tmp_path) == []
    recover_checkpoints(tmp_path)
    found = parts(2)
    load_checkpoint(checkpoints(tmp_path)[-1], *found)
    assert_same(found, run)
    shutil.copytree(path, path.with_name(".step-0000001.replaced-78"))
    shutil.copytree(path, path.with_name(".step-0000002.removed-78"))
    recover_checkpoints(tmp_path)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-0000001"]


def test_checkpoints_are_in_the_order_of_their_steps(tmp_path: Path) -> None:
    run = parts(0, 1)
    for step in (10_000_000, 9_999_999):
        save_checkpoint(tmp_path, state(step), *run, keep=2)
    assert [p.name for p in checkpoints(tmp_path)] == ["step-9999999", "step-10000000"]
