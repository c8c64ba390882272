"""What `infbrush info` says of slides, rasters, models and generated images."""

from __future__ import annotations

import json

import pytest

from infbrush_wsi import InfBrushPipeline


def facts(cli, path):
    result = cli("info", path, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_slide(cli, slides):
    found = facts(cli, slides / "Benign" / "Benign.tif")
    assert (found["kind"], found["format"], found["mpp"]) == ("image", "openslide", 1.0)
    assert found["size"] == "300 x 256 px"
    assert found["levels"] == ["0: 300 x 256 px (1/1)", "1: 150 x 128 px (1/2)"]
    assert found["synthetic"] is True
    assert found["provenance"]["class"] == "Benign"
    assert 20 < float(found["tissue"].split()[0]) < 100


def test_a_raster(cli, tmp_path):
    pytest.importorskip("rasterio")
    from infbrush_wsi.phantom import write_phantom_raster

    found = facts(cli, write_phantom_raster(tmp_path / "aerial.tif", size=(128, 96)))
    assert found["crs"] == "EPSG:26914"
    assert found["pixel_size"] == "0.6 meter"
    assert found["mpp"] is None
    assert found["channels"] == ["red", "green", "blue", "nir"]
    assert found["transform"][:3] == [0.6, 0.0, 500000.0]


def test_a_model(cli, model):
    found = facts(cli, model)
    pipe = InfBrushPipeline.from_pretrained(model)
    assert (found["kind"], found["system"], found["preset"]) == ("model", "infbrush", "tiny")
    assert found["classes"] == ["Benign", "Invasive"]
    assert found["training"]["steps"] == 3
    assert found["parameters"] == sum(p.numel() for p in pipe.denoiser.parameters())
    assert found["weights_sha256"] == pipe.bundle.weights_sha256


def test_a_model_whose_weights_were_changed_is_refused(cli, model, tmp_path):
    import shutil

    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    weights = next((copy / "denoiser").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    result = cli("info", copy)
    assert result.exit_code == 1
    assert "do not match" in result.stderr


def test_a_generated_image(cli, generated):
    found = facts(cli, generated)
    assert (found["synthetic"], found["state"], found["mpp"]) == (True, "complete", 1.0)
    assert found["provenance"]["seed"] == 7
    text = cli("info", generated).stdout
    assert "synthetic" in text
    assert "provenance seed" in text
