"""Resumable checkpoints: safetensors and JSON in a directory that appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from infbrush_wsi.errors import CheckpointError, OutputError
from infbrush_wsi.formats import CHECKPOINT

FOLDER = "checkpoints"
PREFIX, REPLACED = "step-", "replaced"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""Adam's state of a parameter."""


@dataclass(frozen=True)
class TrainingState:
    """All that a run needs to go on as if it had not stopped.

    Attributes:
        step: optimiser steps done.
        config: the run's configuration as plain values.
        facts: what was measured at the start (data statistics) and totals so far.
    """

    step: int
    config: dict[str, Any]
    facts: dict[str, Any]


Trained = tuple[nn.Module, torch.optim.Optimizer]
"""A network and what trains it."""


def save_checkpoint(
    out: Path,
    state: TrainingState,
    model: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    keep: int,
    others: Mapping[str, Trained] | None = None,
) -> Path:
    """Write ``out/checkpoints/step-NNNNNNN`` and remove all but the newest `keep`.

    Args:
        out: directory of the run.
        state: plain values.
        model: the network.
        average: of its weights.
        optimizer: of the network.
        keep: newest checkpoints to keep.
        others: more networks that are trained, by the name of their files.

    Raises:
        OutputError: if it cannot be written; older checkpoints stay.
    """
    folder = out / FOLDER
    final = folder / f"{PREFIX}{state.step:07d}"
    partial, replaced = (_hidden(final, kind) for kind in ("partial", REPLACED))
    try:
        recover_checkpoints(out)
        partial.mkdir(parents=True)
        save_file(_contiguous(dict(model.named_parameters())), partial / "model.safetensors")
        save_file(_contiguous(dict(average.module.named_parameters())), partial / "ema.safetensors")
        save_file(_contiguous(_optimizer_tensors(model, optimizer)), partial / "optimizer.safetensors")
        for name, (network, own) in (others or {}).items():
            save_file(_contiguous(dict(network.named_parameters())), partial / f"{name}.safetensors")
            save_file(_contiguous(_optimizer_tensors(network, own)), partial / f"{name}-optimizer.safetensors")
        record = {"format": CHECKPOINT.stamp, "step": state.step, "config": state.config, "facts": state.facts}
        record["ema_step"] = int(average.n_averaged)
        (partial / "state.json").write_text(json.dumps(record, indent=1))
        if final.exists():
            final.replace(replaced)
        partial.replace(final)
        shutil.rmtree(replaced, ignore_errors=True)
        for old in checkpoints(out)[:-keep]:
            old.replace(_hidden(old, "removed"))  # at once: half a checkpoint would look like one
            shutil.rmtree(_hidden(old, "removed"), ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(f"cannot write the checkpoint {final}: {error}; earlier checkpoints are kept") from error
    return final


def recover_checkpoints(out: Path) -> None:
    """Put in order what a killed process has left: a checkpoint that it was about to replace gets its name back."""
    folder = out / FOLDER
    for old in folder.glob(f".{PREFIX}*.{REPLACED}-*"):
        final = folder / old.name[1:].split(".")[0]
        if not final.exists():
            old.replace(final)
    for left in folder.glob(f".{PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


def _hidden(final: Path, kind: str) -> Path:
    return final.with_name(f".{final.name}.{kind}-{os.getpid()}")


def checkpoints(out: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    found = [path for path in (out / FOLDER).glob(f"{PREFIX}*") if (path / "state.json").is_file()]
    return sorted(found, key=step_of)


def step_of(path: Path) -> int:
    """The step of a checkpoint, by its name; clocks have no part in the order."""
    return int(path.name.removeprefix(PREFIX))


def read_state(path: Path) -> TrainingState:
    """The plain part of a checkpoint.

    Raises:
        CheckpointError: if it is damaged.
    """
    try:
        record = json.loads((path / "state.json").read_text())
        # The first ones did not say their format.
        found = record.get("format", 1)
        record = CHECKPOINT.migrated(record, found, where=f"the checkpoint {path}", error=CheckpointError)
        state = TrainingState(record["step"], record["config"], record["facts"])
        step = state.step
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < 1 << 53:
            raise ValueError(f"its step is {step!r}")
        if not (isinstance(state.config, dict) and isinstance(state.facts, dict)):
            raise ValueError("its configuration or its facts are no JSON objects")
        return state
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"the checkpoint {path} is damaged: {error}; delete it to use an earlier one") from error


def load_checkpoint(
    path: Path,
    model: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    others: Mapping[str, Trained] | None = None,
) -> TrainingState:
    """Restore weights, moving average and optimiser in place, and those of more networks (see `save_checkpoint`).

    Raises:
        CheckpointError: if a file is damaged or belongs to another model.
    """
    state = read_state(path)
    try:
        _restore(dict(model.named_parameters()), load_file(path / "model.safetensors"))
        _restore(dict(average.module.named_parameters()), load_file(path / "ema.safetensors"))
        _restore_optimizer(model, optimizer, load_file(path / "optimizer.safetensors"))
        for name, (network, own) in (others or {}).items():
            _restore(dict(network.named_parameters()), load_file(path / f"{name}.safetensors"))
            _restore_optimizer(network, own, load_file(path / f"{name}-optimizer.safetensors"))
        average.n_averaged.fill_(json.loads((path / "state.json").read_text())["ema_step"])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"the checkpoint {path} does not fit this model or is damaged: {error}") from error
    return state


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def _restore(into: dict[str, Tensor], stored: dict[str, Tensor]) -> None:
    if set(into) != set(stored):
        raise ValueError(f"parameters differ: {', '.join(sorted(set(into) ^ set(stored))[:5])} ...")
    for name, tensor in into.items():
        _check_like(name, tensor, stored[name])
    with torch.no_grad():
        for name, tensor in into.items():
            tensor.copy_(stored[name])


def _check_like(name: str, tensor: Tensor, stored: Tensor) -> None:
    """Refuse what torch would broadcast or convert without a word."""
    if stored.shape != tensor.shape or not stored.is_floating_point():
        raise ValueError(f"{name} is {tuple(stored.shape)} of {stored.dtype}, not {tuple(tensor.shape)}")


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[parameter]}/{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def _restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, stored: dict[str, Tensor]) -> None:
    parameters = dict(model.named_parameters())
    whole = {f"{name}/{key}" for name in {name.rpartition("/")[0] for name in stored} for key in MOMENTS}
    if set(stored) != whole:
        raise ValueError(f"the optimiser's state is not whole: {', '.join(sorted(set(stored) ^ whole)[:3])} ...")
    for name, value in stored.items():
        name, key = name.rsplit("/", 1)
        parameter = parameters[name]
        # Moments must lie in memory as their parameter does: the fused optimiser reads both in the order of memory.
        _check_like(name, torch.empty(()) if key == "step" else parameter, value)
        moment = torch.empty_like(parameter, dtype=value.dtype).copy_(value) if key != "step" else value
        optimizer.state[parameter][key] = moment.to(parameter.device)
