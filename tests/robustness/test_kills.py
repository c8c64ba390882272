"""Killed again and again, and resumed: the same bytes as without a kill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def killed(folder: Path, kind: str, kills: int, seed: int) -> dict[str, Any]:
    """What `benchmarks/robustness/kills.py` has found."""
    script = ROOT / "benchmarks" / "robustness" / "kills.py"
    record = folder / "kills.json"
    call = ["--kind", kind, "--kills", str(kills), "--seed", str(seed), "--json", str(record)]
    done = subprocess.run([sys.executable, str(script), *call], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr[-6000:]
    found: dict[str, Any] = json.loads(record.read_text())["results"][kind]
    assert found["kills"] == kills
    assert found["different"] == 0
    assert found["runs"] >= 1
    return found


def test_a_few_kills_in_training_change_nothing(tmp_path: Path) -> None:
    """Those in rendering are in `tests/cluster/test_killed.py`."""
    assert sum(killed(tmp_path, "training", 3, 1)["met"].values()) >= 3


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("kind", ["training", "rendering"])
def test_kills_meet_every_part_of_a_write_and_change_nothing(tmp_path: Path, kind: str) -> None:
    found = killed(tmp_path, kind, 60, 2)
    begun = {"training": "in the writing of a checkpoint", "rendering": "in the writing of a chunk"}[kind]
    assert found["met"][begun] >= 1
