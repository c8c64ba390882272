"""What the command says of this installation, and of ones in which something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from infbrush_wsi.report.libraries import FOR_DEVELOPERS, PURPOSES, Library, extras, required_libraries
from infbrush_wsi.report.machine import kernel_folder, scratch_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    from typer.testing import CliRunner

    from infbrush_wsi.cli import app

    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_json_holds_versions_machine_extras_and_folders(facts):
    import torch

    found = {library["name"]: library["version"] for library in facts["libraries"]}
    assert found["torch"] == metadata.version("torch")
    assert found["zarr"] == metadata.version("zarr")
    assert "openslide-python" not in found  # that one is optional
    assert facts["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert 0 < facts["machine"]["free"] <= facts["machine"]["memory"]
    assert bool(facts["machine"]["gpus"]) == torch.cuda.is_available()
    assert facts["machine"]["gpus"] or facts["machine"]["no_gpu"]
    assert Path(facts["scratch"]["path"]) == Path(tempfile.gettempdir())
    assert "ome_zarr" in facts["readers"]
    assert facts["problems"] == []


def test_the_compiled_loops_are_where_it_says(facts):
    from infbrush_wsi.domain import Box
    from infbrush_wsi.fields import NoiseField

    NoiseField(1, 1).white(Box(0, 0, 2, 2))
    assert any(Path(facts["kernels"]["path"]).glob("_noise_kernels.white_block*"))


def test_the_table_names_what_is_there(cli):
    result = cli("doctor")
    assert result.exit_code == 0, result.output
    for text in ("This machine", "Needed", "Optional", metadata.version("torch"), "CUDA", "temporary folder"):
        assert text in result.stdout
    assert "Everything that is needed is there." in result.stdout


def test_every_extra_for_users_says_what_it_is_for():
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(named) - FOR_DEVELOPERS <= set(PURPOSES)


def test_extras_are_those_of_the_installed_package():
    found = {extra.name: extra for extra in extras()}
    assert not set(found) & FOR_DEVELOPERS
    assert {library.name for library in found["geo"].libraries} == {"rasterio", "rioxarray"}
    assert found["geo"].install == "pip install 'infbrush-wsi[geo]'"
    assert "torch" in {library.name for library in required_libraries()}


@pytest.mark.parametrize(
    ("needs", "version", "problem"),
    [
        (">=2.6", "2.6.0", ""),
        (">=2.6", "2.12.0+cpu", ""),
        (">=2.6", "2.7.0rc1", ""),
        ("", "0.1", ""),
        (">=2.6", "my-own-build", ""),
        (">=2.6", "2.5.1", "torch 2.5.1 is installed, >=2.6 is needed"),
        (">=2.6", None, "torch is not installed"),
    ],
)
def test_versions_are_compared_with_what_is_needed(needs, version, problem):
    library = Library("torch", needs, version)
    assert library.problem == problem
    assert library.fits == (problem == "")


def test_folders_that_cannot_be_written_are_a_problem(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("in the way")
    monkeypatch.setattr(tempfile, "tempdir", str(file))
    assert "TMPDIR" in scratch_folder().problem
    monkeypatch.undo()
    assert scratch_folder().problem == ""
    assert kernel_folder().problem == ""


def test_what_is_wrong_is_said_and_makes_the_call_fail(command, environment, tmp_path):
    """An installation that lacks a library, has one that is too old, and two whose C libraries are not found."""
    for module, library in (("openslide", "libopenslide.so.1"), ("torch", "libcudart.so.12")):
        (tmp_path / f"{module}.py").write_text(f"raise OSError('{library}: cannot open shared object file')\n")
    facts = tmp_path / "infbrush_wsi-0.1.0.dist-info"
    facts.mkdir()
    needs = ["no-such-library>=1.0", "torch>=999", "zarr>=3", "no-such-reader ; extra == 'wsi'"]
    lines = ["Metadata-Version: 2.4", "Name: infbrush-wsi", "Version: 0.1.0", "Provides-Extra: wsi"]
    (facts / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {text}" for text in needs)]) + "\n")
    changed = environment | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([*command, "doctor"], capture_output=True, text=True, env=changed)
    assert done.returncode == 1, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("problem: ")] == [
        "problem: no-such-library is not installed",
        f"problem: torch {metadata.version('torch')} is installed, >=999 is needed",
        "problem: torch is installed and cannot be imported: libcudart.so.12: cannot open shared object file",
        "problem: openslide is installed and cannot be imported: libopenslide.so.1: cannot open shared object file",
    ]
    assert "no-such-reader missing: pip install 'infbrush-wsi[wsi]'" in done.stdout  # optional, so no problem
    assert "none: torch cannot be imported" in done.stdout
    assert "Everything that is needed" not in done.stdout
    assert "Traceback" not in done.stderr
