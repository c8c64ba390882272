"""A few hundred damaged inputs of every family, and whether the fuzzer would see what must not happen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "robustness" / "fuzz.py"
PLANTED = Path(__file__).with_name("_planted.py")
LIGHT = ("store", "labels", "config", "page")
"""Families that are ready soon."""
HEAVY = ("reader", "embeddings", "resume", "validate", "model", "plan", "checkpoint", "cli")

pytest.importorskip("openslide")
pytest.importorskip("rasterio")
pytest.importorskip("shapely")


def fuzz(tmp_path: Path, *arguments: object, code: int) -> dict[str, Any]:
    out = tmp_path / "counts.json"
    call = [sys.executable, str(SCRIPT), "--json", str(out), "--keep", str(tmp_path / "kept"), *map(str, arguments)]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_every_planted_defect_is_found_and_kept_with_the_call_that_repeats_it(tmp_path: Path) -> None:
    found = fuzz(tmp_path, "--only", PLANTED, "--inputs", 10, "--timeout", 1, code=1)
    outcomes = {key: found["totals"][key] for key in ("success", "refused", "uncaught", "crash", "hang", "partial")}
    # A gigantic allocation fails with an error that is not the package's.
    assert outcomes == {"success": 1, "refused": 1, "uncaught": 2, "crash": 2, "hang": 1, "partial": 3}
    assert found["totals"]["inputs"] == 10
    (family,) = found["families"].values()
    by_kind = {failure["plan"]["kind"]: failure for failure in family["failures"]}
    assert set(by_kind) == {"foreign", "hang", "crash", "exit", "half", "changed", "memory", "left"}
    foreign = by_kind["foreign"]
    assert (Path(foreign["kept"]) / "input").read_text() == "as it was"
    again = subprocess.run(foreign["replay"].split(), capture_output=True, text=True, check=True)
    assert "KeyError" in again.stdout


def test_damaged_inputs_end_in_success_or_in_an_error_of_the_package(tmp_path: Path) -> None:
    found = fuzz(tmp_path, "--only", *LIGHT, "--inputs", 200, "--seed", 1, code=0)
    assert found["totals"]["inputs"] == 200
    assert found["totals"]["failures"] == 0
    # Damage that is never noticed, or always at once, would test nothing.
    assert found["totals"]["success"] > 20
    assert found["totals"]["refused"] > 80
    assert len({name for family in found["families"].values() for name in family["errors"]}) >= 5


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_more_inputs_of_all_families(tmp_path: Path) -> None:
    found = fuzz(tmp_path, "--only", *LIGHT, *HEAVY, "--inputs", 1500, "--seed", 2, code=0)
    assert found["totals"]["inputs"] == 1500
    assert found["totals"]["largest_mib"] < 1536
