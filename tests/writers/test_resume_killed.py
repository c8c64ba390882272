"""Killed processes and lost workers: the next call goes on, and the bytes are those of an uninterrupted write."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run(script, *arguments):
    """Run a script beside this one in a process of its own; give the lines that it printed."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines(), done.stderr


def kill(tmp_path, tree, version, side, delay, kills, longest):
    (tmp_path / "killed").mkdir()
    (line,), _ = run("_killed_writer.py", tmp_path / "killed", version, side, delay, kills, longest, 7)
    images, met = map(int, line.split())
    whole = tmp_path / "whole.ome.zarr"
    runpy.run_path(str(HERE / "_killed_writer.py"))["write"](whole, version, side)
    wanted = tree(whole)
    for number in range(images):
        assert tree(tmp_path / "killed" / f"{number}.ome.zarr") == wanted
    assert len(list((tmp_path / "killed").iterdir())) == images
    return met


@pytest.mark.parametrize(
    ("version", "side", "delay", "longest"), [("0.5", 200, 0.003, 0.4), ("0.4", 70, 0.0, 0.3)], ids=["middle", "ends"]
)
def test_five_kills_while_chunks_are_written_and_at_the_ends_of_a_write(tmp_path, tree, version, side, delay, longest):
    kill(tmp_path, tree, version, side, delay, 5, longest)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_fifty_kills_at_random_moments(tmp_path, tree, version):
    assert kill(tmp_path, tree, version, 800, 0.004, 50, 0.6) > 25


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_fifty_kills_at_the_ends_of_writes(tmp_path, tree, version):
    kill(tmp_path, tree, version, 70, 0.0, 50, 0.3)


@pytest.mark.slow
def test_a_cluster_may_lose_a_worker(tmp_path, tree):
    """Lost blocks are made by the other worker; where the cluster gives up, the next call goes on."""
    (tmp_path / "cluster").mkdir()
    lines, errors = run("_lost_worker.py", tmp_path / "cluster")
    retried, failed, resumed = ([int(word) for word in line.split()] for line in lines)
    runpy.run_path(str(HERE / "_lost_worker.py"))["write"](tmp_path / "whole.ome.zarr")
    wanted = tree(tmp_path / "whole.ome.zarr")
    assert tree(tmp_path / "cluster" / "retried.ome.zarr") == wanted
    assert tree(tmp_path / "cluster" / "failed.ome.zarr") == wanted
    total = retried[-1]
    assert retried == list(range(1, total + 1))
    assert "KilledWorker" in errors
    assert "resume to go on" in errors
    assert 40 <= len(failed) < total
    assert resumed[0] >= len(failed)
    assert resumed == list(range(resumed[0], total + 1))
    assert len(list((tmp_path / "cluster").iterdir())) == 2
