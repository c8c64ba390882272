"""Versions of files: what is read, what is converted, what is refused; on the files themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from infbrush_wsi import formats
from infbrush_wsi.canvas.plan_file import load_states, save_states
from infbrush_wsi.conditioning.layout.stored import layout_from_json
from infbrush_wsi.conditioning.layout.uniform import UniformLayout
from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import (
    CheckpointError,
    ConditionError,
    ConfigError,
    InfbrushError,
    OutputError,
    PlanError,
    UnsupportedSourceError,
)
from infbrush_wsi.formats import Format
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.sources import open_source
from infbrush_wsi.training.checkpoint import read_state
from infbrush_wsi.validation import validate_store
from infbrush_wsi.writers.ome_zarr import write_ome_zarr
from infbrush_wsi.writers.provenance import KEY
from infbrush_wsi.writers.request import Begun, read_begun

CONVERTING = Format(
    "things", 3, 2, {1: lambda r: {"side": r["width"]}, 2: lambda r: {"sides": [r["side"], r["side"]]}}
)  # fmt: skip


def test_an_old_record_takes_every_step_to_the_present_one() -> None:
    assert CONVERTING.migrated({"width": 4}, 1, where="it", error=ConfigError) == {"sides": [4, 4]}
    assert CONVERTING.migrated({"side": 4}, "2.7", where="it", error=ConfigError) == {"sides": [4, 4]}
    assert CONVERTING.migrated({"sides": [4, 5]}, "3.1", where="it", error=ConfigError) == {"sides": [4, 5]}


def test_the_record_that_is_converted_stays_as_it_was() -> None:
    record = {"width": 4}
    CONVERTING.migrated(record, 1, where="it", error=ConfigError)
    assert record == {"width": 4}


def test_an_old_record_that_lacks_what_a_step_needs_is_damaged() -> None:
    with pytest.raises(ConfigError, match=r"the thing has format 1 and cannot be made one of 3\.2: KeyError"):
        CONVERTING.migrated({}, 1, where="the thing", error=ConfigError)


@pytest.mark.parametrize("found", [4, "4.0", "17.3"])
def test_a_newer_major_version_is_refused(found: object) -> None:
    with pytest.raises(ConfigError, match=r"reads versions 1 to 3 of things; install a newer version"):
        CONVERTING.check(found, where="the thing", error=ConfigError)


def test_an_older_one_without_a_step_is_refused() -> None:
    with pytest.raises(ConfigError, match="reads version 2 of things; make it again, or install the version"):
        Format("things", 2).check(1, where="the thing", error=ConfigError)


@pytest.mark.parametrize("found", [None, True, -1, "", "one", "1.2.3", 1.0, "-1", [1], {"a": 1}, "9" * 400])
def test_what_is_no_version_is_damage(found: object) -> None:
    with pytest.raises(ConfigError, match="it is damaged"):
        CONVERTING.check(found, where="the thing", error=ConfigError)


@given(st.integers(1, 5), st.integers(0, 20), st.integers(0, 20))
def test_a_newer_minor_version_of_the_same_major_one_is_told(major: int, ours: int, theirs: int) -> None:
    mine = Format("things", major, ours)
    assert mine.check(f"{major}.{theirs}", where="it", error=ConfigError) == (theirs > ours)
    assert not mine.check(mine.stamp, where="it", error=ConfigError)


class Files:
    """Writes a file of each kind with a version of the caller's choice, and reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def model(self, version: object, **more: Any) -> Any:
        info = ModelInfo("infbrush", (1.0,), "pixel", 8, ("R", "G", "B"), (), 1.0, {})
        return ModelInfo.from_dict(json.loads(json.dumps(info.to_dict() | {"format_version": version} | more)))

    def checkpoint(self, version: object, **more: Any) -> Any:
        record = {"format": version, "step": 1, "config": {}, "facts": {}, **more}
        (self.folder / "state.json").write_text(json.dumps(record))
        return read_state(self.folder)

    def plan(self, version: object, **more: Any) -> Any:
        path = self.folder / "a.plan.safetensors"
        save_states(path, {}, "token", {})
        save_file(load_file(path), path, metadata={"format": str(version), "token": "token", "facts": "{}", **more})
        return load_states(path, "token")

    def layout(self, version: object, **more: Any) -> Any:
        record = json.loads(UniformLayout("a", cell=1.0).to_json())
        return layout_from_json(json.dumps(record | {"layout": version} | more))

    def write(self, version: object, **more: Any) -> Any:
        Begun.now({}, "", {}).save(self.folder)
        file = self.folder / "record.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": version}))
        return read_begun(self.folder)

    def store(self, version: object, **more: Any) -> Path:
        path = self.folder / "a.ome.zarr"
        lattice = Lattice(Shape(8, 8), Affine.identity(), "pixel", None)
        write_ome_zarr([da.zeros((8, 8, 3), dtype=np.uint8)], path, lattice=lattice, name="a")
        group = zarr.open_group(str(path), mode="r+")
        group.attrs[KEY] = dict(group.attrs[KEY]) | {"schema": version} | more
        return path

    def provenance(self, version: object, **more: Any) -> Any:
        with open_source(self.store(version, **more)) as source:
            return source.metadata


KINDS: dict[str, type[InfbrushError]] = {
    "model": CheckpointError,
    "checkpoint": CheckpointError,
    "plan": PlanError,
    "layout": ConditionError,
    "write": OutputError,
    "provenance": UnsupportedSourceError,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_of_this_version_is_read(kind: str, tmp_path: Path) -> None:
    getattr(Files(tmp_path), kind)(getattr(formats, kind.upper()).stamp)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_of_a_newer_major_version_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(KINDS[kind], match="install a newer version of infbrush_wsi"):
        getattr(Files(tmp_path), kind)(getattr(formats, kind.upper()).major + 1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "write"])
def test_what_a_newer_minor_version_has_added_is_passed_over(kind: str, tmp_path: Path) -> None:
    now = getattr(formats, kind.upper())
    getattr(Files(tmp_path), kind)(f"{now.major}.{now.minor + 1}", colour="blue")


def test_a_model_read_from_a_newer_minor_version_says_the_version_that_it_would_be_written_as(tmp_path: Path) -> None:
    assert Files(tmp_path).model("1.9", colour="blue").format_version == formats.MODEL.stamp


def test_a_checkpoint_without_a_version_is_one_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"step": 3, "config": {}, "facts": {}}))
    assert read_state(tmp_path).step == 3


def test_validation_tells_of_a_record_of_a_newer_version(tmp_path: Path) -> None:
    findings = validate_store(Files(tmp_path).store(2)).findings
    assert any("install a newer version" in finding.text for finding in findings)


def test_a_plan_keeps_its_tensors(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "x", metadata={"format": "2"})
    with pytest.raises(PlanError, match="format '2'"):
        load_states(tmp_path / "x", "token")
