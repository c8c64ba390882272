"""Two processes with half the batch each train like one with the whole batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.record import read_metrics
from infbrush_wsi.training.run import train

pytestmark = pytest.mark.slow

SCRIPT = """
import json, sys, torch
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.run import train
torch.set_num_threads(1)
bundle = train(RunConfig.parse(json.loads(sys.argv[1])), sys.argv[2])
"""


def launch(config: RunConfig, out: Path) -> subprocess.CompletedProcess[str]:
    script = out.with_suffix(".py")
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    values = json.dumps(config.model_dump(mode="json"))
    return subprocess.run([*command, values, str(out)], env=environment, capture_output=True, text=True, timeout=280)


def test_two_processes_have_the_loss_curve_of_one(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    # Dropout is drawn by each process for itself.
    overrides = config().model.overrides | {"dropout": 0.0}
    settings = {"optim__steps": 8, "model__overrides": overrides}
    train(config(optim__batch=4, **settings), tmp_path / "one")
    done = launch(config(optim__batch=2, **settings), tmp_path / "two")
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = ([row["loss"] for row in read_metrics(tmp_path / run)] for run in ("one", "two"))
    assert len(one) == 8
    assert two == pytest.approx(one, rel=2e-4)
    a, b = (load_file(next((tmp_path / run / "denoiser").glob("*.safetensors"))) for run in ("one", "two"))
    for name, value in a.items():
        torch.testing.assert_close(b[name], value, rtol=0.02, atol=2e-3)


def test_all_processes_stop_when_one_has_a_loss_that_is_not_finite(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys.modules[__name__],
        "SCRIPT",
        SCRIPT.replace(
            "bundle = train(RunConfig.parse(json.loads(sys.argv[1])), sys.argv[2])",
            """
def spoil(data, loop):
    if loop.accelerator.process_index == 1:
        def inner(self, step, get=type(loop.dataset).__getitem__):
            batch = get(self, step)
            if step == 2:
                batch.clean[:] = float("nan")
            return batch
        loop.dataset.__class__ = type("Broken", (type(loop.dataset),), {"__getitem__": inner})
bundle = train(RunConfig.parse(json.loads(sys.argv[1])), sys.argv[2], started=spoil)
""",
        ),
    )
    done = launch(config(optim__steps=8), tmp_path / "two")
    assert done.returncode != 0
    assert "the loss is nan at step 2" in done.stderr
    assert [p.name for p in (tmp_path / "two" / "checkpoints").iterdir()] == ["step-0000002"]
