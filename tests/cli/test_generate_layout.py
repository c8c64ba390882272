"""Painting classes by command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi import open_source
from infbrush_wsi.cli.painting import mapping
from infbrush_wsi.cli.provenance import record_of
from infbrush_wsi.errors import ConfigError


def square(x, y, side, name):
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": name, "color": [200, 0, 0]}},
    }


@pytest.fixture
def areas(tmp_path):
    """A tumour of 128 pixels at 0.5 µm in the upper left quarter, and what is to be ignored."""
    path = tmp_path / "areas.geojson"
    features = [square(0, 0, 128, "Tumor"), square(0, 0, 40, "Artefact")]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture
def call(model, tmp_path):
    out = tmp_path / "out.ome.zarr"
    return ["generate", model, "--out", out, "--size", "128", "--steps", "1", "--guidance", "1"]


READ = ["--paint-mpp", "0.5", "--classes", "Tumor=Invasive", "--ignore", "Artefact"]


def test_polygons_are_followed_and_written_beside_the_image(cli, call, areas):
    result = cli(*call, "--paint", areas, *READ, "--background", "Benign", "--paint-cell", "2")
    assert result.exit_code == 0, result.output
    assert "warning" not in result.stderr
    store = call[3]
    with open_source(store / "labels" / "layout") as labels:
        assert labels.lattice.spacing.x == 2.0
        values = labels.read_region((0, 0), 0, (64, 64))[..., 0]
    assert len(np.unique(values)) == 2
    expected = np.full((64, 64), values[-1, -1])
    expected[:32, :32] = values[0, 0]
    assert (values != expected).mean() < 0.05
    with open_source(store) as source:
        assert record_of(source)["layout"]


def test_a_label_raster_is_followed(cli, call, tmp_path):
    values = np.zeros((8, 8), np.uint8)
    values[:, 4:] = 7
    Image.fromarray(values).save(tmp_path / "map.png")
    result = cli(*call, "--paint", tmp_path / "map.png", "--classes", "7=invasive", "--paint-mpp", "16")
    assert result.exit_code == 0, result.output
    with open_source(call[3] / "labels" / "layout") as labels:
        assert labels.read_region((0, 0), 0, (8, 8))[..., 0].tolist() == [[0] * 4 + [1] * 4] * 8


def test_areas_beside_the_image_are_warned_of(cli, call, areas):
    result = cli(*call, "--paint", areas, *READ, "--paint-origin", "64,0")
    assert result.exit_code == 0, result.output
    assert "none of them is in it" in result.stderr
    assert "--paint-origin" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--condition", "Benign", "--paint", "{areas}"], "not both"),
        (["--classes", "Tumor=Invasive", "--paint-mpp", "0.5"], "--classes, --paint-mpp say how --paint FILE is read"),
        (["--paint", "{areas}", "--paint-mpp", "0.5", "--ignore", "Artefact"], "Tumor"),
        (["--paint", "{areas}", "--paint-mpp", "0.5", "--classes", "Tumor"], "every part of --classes"),
        (["--paint", "{areas}", "--classes", "Tumor=Invasive", "--ignore", "Artefact"], "mpp"),
        (["--paint", "{areas}", *READ, "--background", "Fat"], "Fat"),
        (["--paint", "{areas}", *READ, "--engine", "joint"], "--engine lazy"),
        (["--paint", "{areas}", *READ, "--paint-origin", "12"], "--paint-origin"),
        (["--paint", "{folder}/none.geojson", *READ], "none.geojson"),
        (["--paint", "{folder}/none.png", *READ[:2], "--classes", "1=Benign"], "no label raster"),
        (["--paint", "{folder}/none.png", "--classes", "Tumor=Benign"], "whole numbers"),
        (["--paint", "{folder}/none.png", "--paint-unit", "pixel"], "for GeoJSON"),
    ],
)
def test_bad_layouts_are_one_line_and_write_nothing(cli, call, areas, tmp_path, options, message):
    result = cli(*call, *(text.format(areas=areas, folder=tmp_path) for text in options))
    assert result.exit_code == 1
    (line,) = (text for text in result.stderr.splitlines() if text.strip())
    assert line.startswith("error: ")
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["areas.geojson"]


def test_classes_are_read_as_pairs():
    assert mapping("Tumor=Invasive, a b=Benign") == {"Tumor": "Invasive", "a b": "Benign"}
    with pytest.raises(ConfigError, match="twice"):
        mapping("a=b,a=c")
