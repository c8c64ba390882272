"""Validation by command."""

from __future__ import annotations

import json
import re
import shutil

import pytest


def test_a_generated_store_is_valid(cli, generated):
    result = cli("validate", generated, "--decode")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == f"{generated}: valid"
    assert "synthetic" in result.stdout
    assert "condition Benign" in result.stdout
    assert "error" not in result.stdout


def test_json_says_the_same(cli, generated):
    found = json.loads(cli("validate", generated, "--json").stdout)
    assert found["valid"] is True
    assert {finding["check"] for finding in found["findings"]} >= {"metadata", "chunks", "provenance"}


def test_a_damaged_store_is_not_valid(cli, generated, tmp_path):
    copy = shutil.copytree(generated, tmp_path / "x.ome.zarr")
    next(path for path in (copy / "0" / "c").rglob("*") if path.is_file()).unlink()
    result = cli("validate", copy)
    assert result.exit_code == 1
    assert re.search(r"^error\s+chunks\s+level 0 has \d+ of \d+ chunks", result.stdout, re.MULTILINE)
    assert result.stdout.splitlines()[-1] == f"{copy}: not valid"


def test_what_is_no_store_is_one_line(cli, model):
    result = cli("validate", model)
    assert result.exit_code == 1
    (line,) = [text for text in result.stderr.splitlines() if text.strip()]
    assert line.startswith("error: ")
    assert "OME-Zarr stores, GeoTIFFs, DeepZoom" in line


def test_an_exported_raster_is_a_valid_cog(cli, tmp_path):
    pytest.importorskip("rio_cogeo")
    from infbrush_wsi.phantom import write_phantom_raster

    raster = write_phantom_raster(tmp_path / "aerial.tif", size=(300, 200))
    result = cli("validate", raster, "--decode")
    assert result.exit_code == 0, result.output
    assert "a valid COG" in result.stdout
    assert "EPSG:" in result.stdout
    assert result.stdout.splitlines()[-1] == f"{raster}: valid"


@pytest.mark.parametrize("suffix", [".dzi", ".dicom"])
def test_exported_slides_are_valid_until_something_is_lost(cli, generated, tmp_path, suffix):
    if suffix == ".dicom":
        pytest.importorskip("wsidicom")
    made = tmp_path / f"a{suffix}"
    assert cli("export", generated, made).exit_code == 0
    result = cli("validate", made, "--decode")
    assert result.exit_code == 0, result.output
    assert "synthetic" in result.stdout
    assert result.stdout.splitlines()[-1] == f"{made}: valid"
    lost = next((tmp_path / "a_files" / "7").glob("*.jpg")) if suffix == ".dzi" else made / "provenance.json"
    lost.unlink()
    assert cli("validate", made).exit_code == (1 if suffix == ".dzi" else 0)
