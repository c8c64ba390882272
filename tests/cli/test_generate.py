"""Generating by command."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi import InfBrushPipeline, open_source
from infbrush_wsi.cli.provenance import record_of
from infbrush_wsi.models import shipped


def test_the_file_holds_what_the_pipeline_renders(generated, model):
    pipe = InfBrushPipeline.from_pretrained(model)
    canvas = pipe("Benign", (96, 64), seed=7, num_inference_steps=2, guidance_scale=1.5)
    with open_source(generated) as source:
        assert source.level_shapes[0] == (64, 96)
        assert source.mpp == 1.0
        np.testing.assert_array_equal(source.read_region((0, 0), 0, (96, 64)), canvas.read_region((0, 0), 0, (96, 64)))


def test_provenance_names_seed_condition_and_model(generated, model):
    with open_source(generated) as source:
        record = record_of(source)
    assert record["synthetic"] is True
    assert (record["seed"], record["condition"], record["steps"]) == (7, "Benign", 2)
    assert record["weights_sha256"] == InfBrushPipeline.from_pretrained(model).bundle.weights_sha256


def test_a_model_that_comes_with_the_package_is_found_by_its_name(cli, model, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "WEIGHTS", model.parent)
    monkeypatch.chdir(tmp_path)
    result = cli("generate", model.name, "--out", "slide.ome.zarr", "--size", "48x40", "--steps", "1")
    assert result.exit_code == 0, result.output
    with open_source(tmp_path / "slide.ome.zarr") as source:
        assert source.level_shapes[0] == (40, 48)
        assert record_of(source)["weights_sha256"] == InfBrushPipeline.from_pretrained(model).bundle.weights_sha256
    facts = cli("info", model.name, "--json")
    assert facts.exit_code == 0
    assert '"Benign"' in facts.stdout


def test_version_size_pixel_size_and_thumbnail(cli, model, tmp_path):
    out, small = tmp_path / "out.ome.zarr", tmp_path / "small.png"
    call = ["--size", "64", "--mpp", "0.5", "--steps", "1", "--ome-version", "0.4", "--thumbnail", small]
    result = cli("generate", model, "--out", out, *call)
    assert result.exit_code == 0, result.output
    assert "64 x 64 px, 0.5 µm/px" in result.stdout
    assert " on disk, " in result.stdout
    assert "infbrush view" in result.stderr
    assert (out / ".zgroup").is_file()
    with open_source(out) as source:
        assert source.mpp == 0.5
        with Image.open(small) as picture:
            np.testing.assert_array_equal(np.asarray(picture), source.read_region((0, 0), 0, (64, 64)))


def test_an_existing_store_is_replaced_only_on_request(cli, model, tmp_path):
    out = tmp_path / "out.ome.zarr"
    call = ["generate", model, "--out", out, "--size", "32", "--steps", "1"]
    assert cli(*call).exit_code == 0
    refused = cli(*call, "--seed", "1")
    assert refused.exit_code == 1
    assert "--overwrite" in refused.stderr
    with open_source(out) as source:
        before = source.read_region((0, 0), 0, (32, 32))
    assert cli(*call, "--seed", "1", "--overwrite").exit_code == 0
    with open_source(out) as source:
        assert (source.read_region((0, 0), 0, (32, 32)) != before).any()


def test_an_unknown_class_is_refused_before_anything_is_written(cli, model, tmp_path):
    result = cli("generate", model, "--out", tmp_path / "out.ome.zarr", "--condition", "Malignant")
    assert result.exit_code == 1
    assert "Benign, Invasive" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_watermark_is_written_recorded_and_found(cli, model, tmp_path):
    pytest.importorskip("imwatermark")
    out = tmp_path / "out.ome.zarr"
    result = cli("generate", model, "--out", out, "--size", "256", "--steps", "1", "--watermark", "lab 7")
    assert result.exit_code == 0, result.output
    with open_source(out) as source:
        assert record_of(source)["watermark"]["text"] == "lab 7"
    assert "'lab 7' is in the pixels" in cli("validate", out).output
    refused = cli("generate", model, "--out", tmp_path / "no.ome.zarr", "--size", "256", "--watermark", "far too long")
    assert refused.exit_code == 1
    assert "1 to 8 ASCII characters" in refused.stderr
    assert not list(tmp_path.glob("*no*"))
