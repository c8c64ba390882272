"""Training by command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest
import yaml

from infbrush_wsi.training.checkpoint import checkpoints, read_state
from infbrush_wsi.training.record import read_metrics


def test_a_run_leaves_model_configuration_manifest_and_metrics(model, slides):
    info = json.loads((model / "infbrush.json").read_text())
    assert info["classes"] == ["Benign", "Invasive"]
    assert info["spacing"] == [1.0]
    assert info["training"]["steps"] == 3
    config = yaml.safe_load((model / "run.yaml").read_text())
    assert config["data"]["labels"] == "folder"
    assert config["data"]["sources"] == [str(slides)]
    assert config["model"]["overrides"]["width"] == 8
    assert json.loads((model / "manifest.json").read_text())["counts"] == {"Benign": 1, "Invasive": 1}
    assert read_metrics(model)[-1]["step"] == 3


def test_the_summary_tells_what_is_trained_on(cli, slides, quick, tmp_path):
    (slides / "Benign" / "broken.tif").write_bytes(b"II*\x00nothing")
    try:
        result = cli("train", "--source", slides, "--steps", 1, "--out", tmp_path / "m", *quick)
    finally:
        (slides / "Benign" / "broken.tif").unlink()
    assert result.exit_code == 0, result.output
    assert "Benign (1), Invasive (1)" in result.stderr
    assert "skipped" in result.stderr
    assert "broken.tif" in result.stderr
    assert "training 1/1" in result.stderr
    assert result.stdout.startswith(f"{tmp_path / 'm'}: a trained model, ")
    assert f"generate with: infbrush generate {tmp_path / 'm'} " in result.stderr


def test_options_replace_the_values_of_a_configuration_file(cli, model, quick, tmp_path):
    out = tmp_path / "m"
    call = ["--config", model / "run.yaml", "--set", "optim.decay=0.5", "--labels", "none", "--steps", 1, "--seed", 5]
    result = cli("train", *call, "--out", out)
    assert result.exit_code == 0, result.output
    config = yaml.safe_load((out / "run.yaml").read_text())
    assert (config["optim"]["decay"], config["optim"]["seed"], config["optim"]["steps"]) == (0.5, 5, 1)
    assert config["data"]["labels"] == "none"
    assert config["data"]["window"] == 64
    assert json.loads((out / "infbrush.json").read_text())["classes"] == []


def test_resume_needs_the_directory_only_and_a_second_run_is_refused(cli, slides, quick, tmp_path):
    out = tmp_path / "m"
    assert cli("train", "--source", slides, "--steps", 2, "--out", out, *quick).exit_code == 0
    again = cli("train", "--source", slides, "--steps", 2, "--out", out, *quick)
    assert again.exit_code == 1
    assert "holds a training run" in again.stderr
    result = cli("train", "--resume", "--steps", 4, "--out", out)
    assert result.exit_code == 0, result.output
    assert "continued at step 2" in result.stderr
    assert read_state(checkpoints(out)[-1]).step == 4


def test_a_run_limited_in_time_ends_in_time_with_its_learning_rate_at_zero(cli, slides, quick, tmp_path):
    out = tmp_path / "m"
    started = time.monotonic()
    settings = ["--set", "record.log_every=1", "--set", "optim.warmup=1", "--set", "optim.decay=0.9"]
    result = cli("train", "--source", slides, "--minutes", 0.05, "--out", out, *settings, *quick)
    assert result.exit_code == 0, result.output
    assert time.monotonic() - started < 30
    rows = read_metrics(out)
    length = read_state(checkpoints(out)[-1]).facts["length"]
    assert length == {"minutes": 0.05, "steps": rows[-1]["step"]}
    assert rows[-1]["learning_rate"] < 0.5 * max(row["learning_rate"] for row in rows)
    continued = cli("train", "--resume", "--out", out)
    assert continued.exit_code == 0, continued.output
    assert read_metrics(out)[-1]["step"] == rows[-1]["step"]


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_ctrl_c_stops_after_a_step_and_the_run_can_go_on(cli, command, environment, slides, quick, tmp_path, workers):
    out = tmp_path / "m"
    call = ["train", "--source", slides, "--steps", 100000, "--out", out, *quick, "--workers", workers]
    call += ["--set", "record.log_every=1"]
    process = subprocess.Popen(
        [*command, *map(str, call)], stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    metrics = out / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (metrics.is_file() and metrics.read_text().count("\n") >= 2):
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the loader's processes get it too
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.strip().splitlines()[-1] == "stopped; continue with --resume"
    assert "Traceback" not in stderr
    step = read_state(checkpoints(out)[-1]).step
    assert step >= 2
    resumed = cli("train", "--resume", "--steps", step + 1, "--workers", "0", "--out", out)
    assert resumed.exit_code == 0, resumed.output
    assert f"continued at step {step}" in resumed.stderr
