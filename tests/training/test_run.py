"""Whole runs: resuming, refusing, failing, and what they leave in their directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from infbrush_wsi.errors import CheckpointError, ConfigError, OutputError, OutputExistsError, TrainingError
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.training.checkpoint import checkpoints
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.loop import TrainingLoop
from infbrush_wsi.training.record import read_metrics
from infbrush_wsi.training.run import train

Make = Callable[..., RunConfig]


class Killed(Exception):
    """Ends a run as a kill would: nothing is saved on the way out."""


def losses(out: Path) -> list[tuple[int, float]]:
    return [(int(row["step"]), row["loss"]) for row in read_metrics(out)]


def exact(config: RunConfig, out: Path, **options: Any) -> list[float]:
    """Losses of a run to the last bit (the file has them rounded)."""
    found: dict[int, float] = {}

    def report(step: int, scalars: dict[str, float]) -> None:
        found[step] = scalars["loss"]
        if step == options.get("kill_at"):
            raise Killed

    with suppress(Killed):
        train(config, out, resume=options.get("resume", False), report=report)
    return [found[step] for step in sorted(found)]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(next((out / "denoiser").glob("*.safetensors")))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(config: Make, tmp_path: Path, workers: int) -> None:
    whole = exact(config(data__workers=workers), tmp_path / "whole")
    assert len(whole) == 12
    assert len(set(whole)) == 12
    first = exact(config(data__workers=workers), tmp_path / "parts", kill_at=8)
    assert [p.name for p in checkpoints(tmp_path / "parts")] == ["step-0000006"]
    second = exact(config(data__workers=workers), tmp_path / "parts", resume=True)
    assert first == whole[:8]
    assert second == whole[6:]
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")  # steps 7 and 8 of the killed run are dropped
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    for name in ("model", "ema", "optimizer"):
        files = [tmp_path / run / "checkpoints" / "step-0000012" / f"{name}.safetensors" for run in ("whole", "parts")]
        a, b = (load_file(f) for f in files)
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_learns_and_leaves_all_its_files(config: Make, tmp_path: Path) -> None:
    started = []
    bundle = train(
        config(optim__steps=60, record__preview_every=30, record__preview_steps=3, record__log_every=7),
        tmp_path / "run",
        started=lambda data, loop: started.append((data.classes, loop.total_steps)),
    )
    out = tmp_path / "run"
    assert started == [(("benign", "invasive"), 60)]
    rows = read_metrics(out)
    assert [row["step"] for row in rows] == [7, 14, 21, 28, 35, 42, 49, 56, 60]
    assert np.mean([row["loss"] for row in rows[-3:]]) < 0.92 * rows[0]["loss"]
    assert {p.name for p in out.iterdir()} >= {
        "infbrush.json", "denoiser", "run.yaml", "manifest.json", "metrics.jsonl", "previews", "tensorboard",
        "checkpoints",
    }  # fmt: skip
    assert [p.name for p in checkpoints(out)] == ["step-0000054", "step-0000060"]
    assert not [p for p in out.rglob("*") if "partial" in p.name or ".old" in p.name]
    sheets = sorted((out / "previews").iterdir())
    assert [p.name for p in sheets] == ["step-0000030.png", "step-0000060.png"]
    sheet = np.asarray(Image.open(sheets[-1]))
    assert sheet.shape == (2 * 32, 2 * 32, 3)
    assert sheet.std() > 5
    assert bundle is not None
    assert bundle.info.classes == ("benign", "invasive")
    assert bundle.info.window == 32
    assert bundle.info.training["steps"] == 60
    assert bundle.info.training["finished"] is True
    assert len(bundle.info.training["sources"]) == 3
    assert RunConfig.from_yaml(out / "run.yaml").without_names() == bundle.info.training["config"]


def test_the_returned_model_is_the_saved_one_with_averaged_weights(config: Make, tmp_path: Path) -> None:
    bundle = train(config(), tmp_path / "run")
    assert bundle is not None
    saved = weights(tmp_path / "run")
    for name, parameter in bundle.denoiser.named_parameters():
        assert torch.equal(parameter, saved[name])
    last = checkpoints(tmp_path / "run")[-1]
    average, raw = load_file(last / "ema.safetensors"), load_file(last / "model.safetensors")
    assert all(torch.equal(saved[name], average[name]) for name in average)
    assert any(not torch.equal(saved[name], raw[name]) for name in raw)


def test_a_directory_with_a_run_is_refused(config: Make, tmp_path: Path) -> None:
    train(config(optim__steps=2), tmp_path / "run")
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*.json*")}
    with pytest.raises(OutputExistsError, match="--resume"):
        train(config(optim__steps=2), tmp_path / "run")
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*.json*")} == before


def test_another_configuration_is_refused_by_name(config: Make, tmp_path: Path) -> None:
    train(config(optim__steps=2), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"data\.points, optim\.learning_rate"):
        train(config(optim__steps=4, data__points=100, optim__learning_rate=0.02), tmp_path / "run", resume=True)


def test_a_run_of_a_version_with_fewer_settings_goes_on(config: Make, tmp_path: Path) -> None:
    exact(config(optim__steps=2), tmp_path / "run")
    (state,) = (tmp_path / "run" / "checkpoints").glob("*/state.json")
    stored = json.loads(state.read_text())
    del stored["config"]["optim"]["snr_gamma"]
    state.write_text(json.dumps(stored))
    train(config(optim__steps=3), tmp_path / "run", resume=True)
    with pytest.raises(ConfigError, match=r"other values of optim\.snr_gamma"):
        train(config(optim__steps=4, optim__snr_gamma=5.0), tmp_path / "run", resume=True)


def test_a_finished_run_can_be_continued_with_more_steps(config: Make, tmp_path: Path) -> None:
    train(config(optim__steps=3), tmp_path / "run")
    train(config(optim__steps=5, record__log_every=2), tmp_path / "run", resume=True)
    assert [step for step, _ in losses(tmp_path / "run")] == [1, 2, 3, 4, 5]


def test_resuming_a_finished_run_changes_nothing(config: Make, tmp_path: Path) -> None:
    train(config(optim__steps=3), tmp_path / "run")
    before = weights(tmp_path / "run")
    train(config(optim__steps=3), tmp_path / "run", resume=True)
    after = weights(tmp_path / "run")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_two_trainings_in_one_directory_are_refused(config: Make, tmp_path: Path) -> None:
    def intrude(step: int, scalars: dict[str, float]) -> None:
        with pytest.raises(OutputError, match="another process trains"):
            train(config(optim__steps=2), tmp_path / "run")
        raise Killed

    with pytest.raises(Killed):
        train(config(optim__steps=2), tmp_path / "run", report=intrude)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_values_that_are_not_finite_end_the_run_and_keep_the_last_good_state(
    config: Make, tmp_path: Path, where: str
) -> None:
    def spoil(loop: TrainingLoop) -> None:
        if where == "loss":
            inner = loop.dataset.__class__.__getitem__

            def broken(dataset: Any, step: int) -> Any:
                batch = inner(dataset, step)
                if step == 4:
                    batch.clean[0, 3, 1] = float("nan")
                return batch

            loop.dataset.__class__ = type("Broken", (loop.dataset.__class__,), {"__getitem__": broken})
        else:
            gate = loop.task.network.head.weight
            gate.register_hook(lambda g: g * float("inf") if loop.step == 4 else g)

    good = exact(config(optim__steps=4, optim__decay=0.0), tmp_path / "good")
    bad = []
    with pytest.raises(TrainingError, match=r"at step 4, whose batch is \S*png at \("):
        train(
            config(optim__decay=0.0, record__keep=1),
            tmp_path / "bad",
            report=lambda step, scalars: bad.append(scalars["loss"]),
            started=lambda data, loop: spoil(loop),
        )
    assert bad == good
    kept = checkpoints(tmp_path / "bad")
    assert [p.name for p in kept] == ["step-0000004"]
    for name in ("model", "ema", "optimizer"):
        a, b = (load_file(checkpoints(tmp_path / run)[-1] / f"{name}.safetensors") for run in ("good", "bad"))
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert ModelBundle.load(tmp_path / "bad", {"denoiser": InfBrushDenoiser}).info.training["finished"] is False


def test_a_truncated_checkpoint_is_told(config: Make, tmp_path: Path) -> None:
    train(config(optim__steps=8), tmp_path / "run")
    last = checkpoints(tmp_path / "run")[-1]
    for name in ("model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"):
        content = (last / name).read_bytes()
        (last / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(CheckpointError, match="step-0000008"):
            train(config(optim__steps=9), tmp_path / "run", resume=True)
        (last / name).write_bytes(content)
    train(config(optim__steps=9), tmp_path / "run", resume=True)


def test_half_a_line_of_metrics_is_dropped(config: Make, tmp_path: Path) -> None:
    out = tmp_path / "run"
    exact(config(), out, kill_at=7)
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    assert [step for step, _ in losses(out)] == list(range(1, 8))
    exact(config(optim__steps=8), out, resume=True)
    assert [step for step, _ in losses(out)] == list(range(1, 9))
    assert all(json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines())


def test_an_interrupt_saves_where_it_stopped(config: Make, tmp_path: Path) -> None:
    def interrupt(step: int, scalars: dict[str, float]) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config(), tmp_path / "run", report=interrupt)
    assert [p.name for p in checkpoints(tmp_path / "run")] == ["step-0000005"]
    whole = exact(config(), tmp_path / "whole")
    assert exact(config(), tmp_path / "run", resume=True) == whole[5:]


def test_gradient_checkpointing_changes_no_loss(config: Make, tmp_path: Path) -> None:
    plain = exact(config(optim__steps=4), tmp_path / "plain")
    saving = exact(config(optim__steps=4, optim__gradient_checkpointing=True), tmp_path / "saving")
    assert saving == pytest.approx(plain, rel=1e-5)


PARITY = {"cano": "paper", "self_attention": True, "position": "extent", "transfer": "knn"}


@pytest.mark.parametrize(
    "changes",
    [
        {"model__prediction": "epsilon", "model__scale_input": False, "data__sampler": "halton"},
        {"optim__precision": "bf16"},
        {"optim__snr_gamma": 5.0, "optim__ema_ramp": False},
        {"model__overrides": PARITY, "data__sampler": "uniform"},
        {"data__labels": "none", "data__sampler": "tissue"},
        {"model__sigma": 1.5, "data__sampler": "stratified", "data__flips": False},
    ],
)
def test_other_settings_train_too(config: Make, tmp_path: Path, changes: dict[str, Any]) -> None:
    base = config().model.overrides
    if "model__overrides" in changes:
        changes = changes | {"model__overrides": base | changes["model__overrides"]}
    if "data__sampler" in changes:
        changes = changes | {"data__sampler_options": {}}
    found = exact(config(**(changes | {"optim__steps": 3})), tmp_path / "run")
    assert np.isfinite(found).all()
    assert len(set(found)) == 3
