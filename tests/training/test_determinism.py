"""The deterministic mode is on while a run trains, changes nothing on a CPU, and is put back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.determinism import deterministic
from infbrush_wsi.training.run import train

Make = Callable[..., RunConfig]


def trained(config: RunConfig, out: Path, seen: list[bool] | None = None) -> dict[str, torch.Tensor]:
    def report(step: int, scalars: dict[str, float]) -> None:
        if seen is not None:
            seen.append(torch.are_deterministic_algorithms_enabled())

    train(config, out, report=report)
    return load_file(next((out / "denoiser").glob("*.safetensors")))


def test_it_is_on_while_a_run_trains_and_gives_the_same_weights_on_a_cpu(config: Make, tmp_path: Path) -> None:
    seen: list[bool] = []
    strict = trained(config(optim__deterministic=True, optim__steps=4), tmp_path / "strict", seen)
    usual = trained(config(optim__steps=4), tmp_path / "usual")
    assert seen
    assert all(seen)
    assert not torch.are_deterministic_algorithms_enabled()
    assert strict.keys() == usual.keys()
    assert all(torch.equal(strict[name], usual[name]) for name in strict)


def test_an_error_puts_it_back_too() -> None:
    def failing() -> None:
        with deterministic(True):
            assert torch.are_deterministic_algorithms_enabled()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert not torch.are_deterministic_algorithms_enabled()


def test_without_it_nothing_is_touched() -> None:
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()
