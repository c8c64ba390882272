"""A small model on disk, and the bytes of stores."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def saved(make_pipeline: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small model."""
    directory = tmp_path_factory.mktemp("saved") / "model"
    make_pipeline().save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def pipeline(saved: Path) -> Any:
    from infbrush_wsi import InfBrushPipeline

    return InfBrushPipeline.from_pretrained(saved)


@pytest.fixture(scope="session")
def script() -> Callable[..., list[str]]:
    """Run a script beside this file in a process of its own; gives the lines that it printed.

    One that takes too long tells where all its threads are.
    """

    def run(name: str, *arguments: object, seconds: float = 280) -> list[str]:
        command = [sys.executable, "-u", "-X", "faulthandler", str(HERE / name), *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            output, errors = process.communicate(timeout=20)
        assert process.returncode == 0, output + errors[-8000:]
        return output.splitlines()

    return run


@pytest.fixture(scope="session")
def killed() -> dict[str, Any]:
    """The functions of the script that is killed: which canvas it renders, and how it is written."""
    return runpy.run_path(str(HERE / "_killed_rendering.py"))


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, bytes]]:
    """The content of every file of a store, but for the time at which it was begun."""

    def read(store: Path) -> dict[str, bytes]:
        found = {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}
        for name in ("zarr.json", ".zattrs"):
            if name in found:
                found[name] = json.dumps(_without_time(json.loads(found[name])), sort_keys=True).encode()
        return found

    return read


@pytest.fixture(scope="session")
def whole(pipeline: Any, killed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that was written without interruption."""
    target = tmp_path_factory.mktemp("whole") / "whole.ome.zarr"
    killed["write"](killed["make"](pipeline), target, resume=False)
    return target


def _without_time(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_time(item) for key, item in value.items() if key != "created"}
    return [_without_time(item) for item in value] if isinstance(value, list) else value
