"""Stopped and killed calls, plans, engines and clusters by command."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import numpy as np
import pytest
from dask.base import get_scheduler

from infbrush_wsi import open_source
from infbrush_wsi.canvas.spec import DEFAULT_HALO
from infbrush_wsi.cli.cluster import check_cluster
from infbrush_wsi.cli.progress import Pace
from infbrush_wsi.errors import ConfigError, MissingExtraError

OPTIONS = ["--size", "400x300", "--steps", "2", "--seed", "3", "--chunk", "32", "--tile", "32", "--condition", "Benign"]


def pixels(store):
    with open_source(store) as source:
        return [source.read_region((0, 0), k, (w, h)) for k, (h, w) in enumerate(source.level_shapes)]


@pytest.fixture(scope="module")
def expected(model):
    from infbrush_wsi import InfBrushPipeline

    pipe = InfBrushPipeline.from_pretrained(model)
    canvas = pipe("Benign", (400, 300), seed=3, num_inference_steps=2, guidance_scale=1.5, tile=32)
    return [canvas.read_region((0, 0), k, (w, h)) for k, (h, w) in enumerate(canvas.level_shapes)]


def same(found, expected):
    assert len(found) == len(expected)
    for image, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(image, other)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_stopped_call_goes_on(cli, command, environment, model, expected, tmp_path, number):
    out = tmp_path / "out.ome.zarr"
    call = ["generate", str(model), "--out", str(out), *OPTIONS]
    process = subprocess.Popen([*command, *call], env=environment, stderr=subprocess.PIPE, text=True)
    partial = tmp_path / ".out.ome.zarr.partial"
    deadline = time.monotonic() + 120
    while sum(path.stat().st_size for path in partial.glob("journal-*")) < 50:  # a line
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    errors = process.communicate(timeout=60)[1]
    if number == signal.SIGINT:
        assert process.returncode == 130
        # zarr's event loop may say after it that a task was pending.
        assert "stopped; what is finished is kept: call the same command again to go on" in errors.splitlines()
        assert "Traceback" not in errors
    assert not out.exists()
    assert len(list(tmp_path.glob(".out.ome.zarr.*.plan.safetensors"))) == 1
    result = cli(*call)
    assert result.exit_code == 0, result.output
    assert "of an earlier run)" in result.stderr
    same(pixels(out), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["out.ome.zarr"]


def test_a_named_plan_is_written_kept_and_used(cli, model, expected, tmp_path):
    file = tmp_path / "kept.plan.safetensors"
    for name in ("a", "b"):
        result = cli("generate", model, "--out", tmp_path / f"{name}.ome.zarr", *OPTIONS, "--plan", file)
        assert result.exit_code == 0, result.output
        same(pixels(tmp_path / f"{name}.ome.zarr"), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr", "b.ome.zarr", file.name]
    made = file.stat().st_mtime_ns
    other = cli("generate", model, "--out", tmp_path / "c.ome.zarr", *OPTIONS, "--plan", file, "--halo", "9")
    assert other.exit_code == 1
    assert "belongs to another canvas" in other.stderr
    assert not (tmp_path / "c.ome.zarr").exists()
    assert file.stat().st_mtime_ns == made


def test_a_damaged_plan_of_an_interrupted_call_is_made_again(cli, model, expected, tmp_path):
    from infbrush_wsi import InfBrushPipeline

    pipe = InfBrushPipeline.from_pretrained(model)
    canvas = pipe("Benign", (400, 300), seed=3, num_inference_steps=2, guidance_scale=1.5, tile=32)
    damaged = tmp_path / f".out.ome.zarr.{canvas.token[:16]}.plan.safetensors"
    damaged.write_bytes(b"no plan")
    result = cli("generate", model, "--out", tmp_path / "out.ome.zarr", *OPTIONS)
    assert result.exit_code == 0, result.output
    same(pixels(tmp_path / "out.ome.zarr"), expected)
    assert not damaged.exists()


def test_what_is_kept_of_a_failure_and_what_becomes_of_it(cli, model, tmp_path, monkeypatch):
    out = tmp_path / "out.ome.zarr"
    call = ["generate", model, "--out", out, "--size", "64", "--steps", "1"]
    with monkeypatch.context() as patch:
        patch.setattr("infbrush_wsi.canvas.Canvas.to_dask", _broken)
        failed = cli(*call, "--no-resume")
        assert failed.exit_code == 1
        assert list(tmp_path.iterdir()) == []
        failed = cli(*call)
        assert failed.exit_code == 1
        assert "no pixels" in failed.stderr
        assert "resume to go on" in failed.stderr
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == 2
    assert ".out.ome.zarr.partial" in kept
    refused = cli(*call, "--seed", "1")
    assert refused.exit_code == 1
    assert "provenance seed was 0 and is 1" in refused.stderr
    assert set(kept) <= {path.name for path in tmp_path.iterdir()}
    assert cli(*call, "--seed", "1", "--overwrite").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.ome.zarr"]


def _broken(self, level=0, chunk=32):
    import dask.array as da

    def fail(block):
        raise ValueError("no pixels")

    lazy = da.zeros((*self.level_shapes[level], 3), chunks=(chunk, chunk, 3), dtype=np.uint8)
    return lazy.map_blocks(fail, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))


@pytest.mark.parametrize(
    "options", [["--engine", "joint"], ["--engine", "sweep"], ["--halo", "exact"], ["--halo", "0", "--tile", "40"]]
)
def test_engine_and_halo_reach_the_file(cli, model, tmp_path, options):
    out = tmp_path / "out.ome.zarr"
    result = cli("generate", model, "--out", out, "--size", "64", "--steps", "1", *options)
    assert result.exit_code == 0, result.output
    record = json.loads((out / "zarr.json").read_text())["attributes"]["infbrush_wsi"]
    assert record["engine"] == (options[1] if options[0] == "--engine" else "lazy")
    assert record["halo"] == {"exact": None, "0": 0}.get(options[1], DEFAULT_HALO)


def test_large_images_are_planned_in_frames_and_stored_in_shards(cli, model, tmp_path):
    out = tmp_path / "out.ome.zarr"
    options = ["--size", "96", "--steps", "1", "--frame", "64", "--no-coarse", "--chunk", "16", "--shard", "2"]
    result = cli("generate", model, "--out", out, *options)
    assert result.exit_code == 0, result.output
    record = json.loads((out / "zarr.json").read_text())["attributes"]["infbrush_wsi"]
    assert (record["frame"], record["coarse"]) == (64, False)
    assert len([path for path in (out / "0" / "c").rglob("*") if path.is_file()]) == 9


@pytest.mark.slow
def test_processes_of_this_machine_and_a_running_cluster(cli, model, expected, tmp_path):
    distributed = pytest.importorskip("distributed")
    result = cli("generate", model, "--out", tmp_path / "a.ome.zarr", *OPTIONS, "--workers", "2")
    assert result.exit_code == 0, result.output
    same(pixels(tmp_path / "a.ome.zarr"), expected)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0") as cluster:
        address = cluster.scheduler_address
        result = cli("generate", model, "--out", tmp_path / "b.ome.zarr", *OPTIONS, "--scheduler", address)
    assert result.exit_code == 0, result.output
    same(pixels(tmp_path / "b.ome.zarr"), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scheduler", "tcp://a:1", "--workers", "2"], "not both"),
        (["--workers", "0"], "at least 1"),
        (["--workers", "2", "--engine", "joint"], "one process"),
        (["--scheduler", "ddim"], "--sampler"),
        (["--scheduler", "nonsense://127.0.0.1:1"], "no Dask scheduler answers"),
        (["--plan", "{folder}/x.plan", "--engine", "joint"], "has no plan"),
        (["--plan", "{folder}/none/x.plan"], "there is no folder"),
        (["--halo", "wide"], "--halo"),
        (["--memory-gib", "0"], "--memory-gib"),
        (["--shard", "2", "--ome-version", "0.4"], "shards"),
        (["--chunk", "0"], "chunks"),
    ],
)
def test_bad_settings_are_one_line_and_write_nothing(cli, model, tmp_path, options, message):
    pytest.importorskip("distributed")
    options = [text.format(folder=tmp_path) for text in options]
    result = cli("generate", model, "--out", tmp_path / "out.ome.zarr", "--size", "64", "--steps", "1", *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []
    assert get_scheduler() is None  # nothing computed later waits for a cluster that never was


def test_without_dask_distributed_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"infbrush-wsi\[distributed\]"):
        check_cluster(None, 2, "lazy")
    check_cluster(None, None, "lazy")
    with pytest.raises(ConfigError):
        check_cluster("tcp://a:1", 2, "lazy")


def test_time_left_is_by_the_pace_of_this_run():
    clock = iter([0.0, 50.0, 60.0, 80.0])
    pace = Pace(lambda: next(clock))
    assert pace.left(90, 100) is None
    assert pace.earlier == 90
    assert pace.left(92, 100) == pytest.approx(10 / 2 * 8)
    assert pace.left(95, 100) == pytest.approx(30 / 5 * 5)
    clock = iter([0.0, 10.0, 30.0])
    fresh = Pace(lambda: next(clock))
    assert fresh.left(1, 11) == pytest.approx(100.0)
    assert fresh.left(3, 11) == pytest.approx(80.0)
    assert fresh.earlier == 0
