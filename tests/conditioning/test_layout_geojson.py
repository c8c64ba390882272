"""GeoJSON as QuPath and others write it, and every way in which it can be wrong."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infbrush_wsi.conditioning.layout import features, parse_geojson, polygons_from_geojson
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConditionError

QUPATH = """{
  "type": "FeatureCollection",
  "features": [
    {
      "type": "Feature",
      "id": "4f8f7b1c-6c8e-4f5e-9b58-51f1a8a3f5a0",
      "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [80, 0], [80, 60], [0, 60], [0, 0]]]},
      "properties": {
        "objectType": "annotation",
        "classification": {"name": "Stroma", "color": [150, 200, 150]},
        "isLocked": false,
        "measurements": {"Area": 4800.0}
      }
    },
    {
      "type": "Feature",
      "id": "PathAnnotationObject",
      "geometry": {
        "type": "MultiPolygon",
        "coordinates": [
          [[[10, 10], [40, 10], [40, 40], [10, 40], [10, 10]], [[20, 20], [30, 20], [30, 30], [20, 30], [20, 20]]],
          [[[50, 10], [70, 10], [70, 30], [50, 30], [50, 10]]]
        ],
        "plane": {"c": -1, "z": 0, "t": 0}
      },
      "properties": {"object_type": "annotation", "classification": {"name": "Tumor", "colorRGB": -3670016}}
    }
  ]
}"""
SQUARE = [[[0, 0], [8, 0], [8, 8], [0, 8], [0, 0]]]
TUMOUR = {"classification": {"name": "Tumor"}}


def feature(coordinates: Any = SQUARE, kind: str = "Polygon", properties: Any = TUMOUR) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


def collection(*listed: Any) -> str:
    return json.dumps({"type": "FeatureCollection", "features": listed})


def at(layout: Any, x: float, y: float) -> Any:
    """The condition where all nodes around a point agree."""
    (index,), _ = layout.weights_at([[y, x]])
    return layout.conditions[index]


def test_a_qupath_export_with_holes_and_several_parts() -> None:
    layout = parse_geojson(QUPATH, cell=1.0, mpp=0.5, classes={"Tumor": "Invasive", "Stroma": "Benign"})
    assert layout.conditions == (None, "Benign", "Invasive")
    assert layout.bounds == (0.0, 0.0, 40.0, 30.0)  # pixels of 0.5 µm
    assert at(layout, 2.0, 2.0) == "Benign"
    assert at(layout, 7.0, 7.0) == "Invasive"
    assert at(layout, 12.5, 12.5) == "Benign"  # in the hole
    assert at(layout, 30.0, 10.0) == "Invasive"  # the second part
    assert at(layout, 45.0, 10.0) is None
    index = layout.index(Box(0, 0, 40, 30))
    assert (index == 2).sum() == 15 * 15 - 5 * 5 + 10 * 10
    assert (index == 1).sum() == 40 * 30 - (index == 2).sum()


def test_the_file_is_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_bytes(b"\xef\xbb\xbf" + QUPATH.encode())
    assert polygons_from_geojson(path, cell=1.0, mpp=0.5) == parse_geojson(QUPATH, cell=1.0, mpp=0.5)


def test_a_list_or_a_single_feature_is_enough() -> None:
    whole = parse_geojson(collection(feature()), cell=1.0, mpp=1.0)
    assert parse_geojson(json.dumps([feature()]), cell=1.0, mpp=1.0) == whole
    assert parse_geojson(json.dumps(feature()), cell=1.0, mpp=1.0) == whole
    assert parse_geojson(collection(feature([SQUARE], "MultiPolygon")), cell=1.0, mpp=1.0) == whole


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"classification": {"name": "Tumor", "color": [200, 0, 0]}}, "Tumor"),
        ({"classification": {"names": ["Tumor", "Positive"], "color": [200, 0, 0]}}, "Tumor: Positive"),
        ({"classification": {"name": "Tumor: Positive"}}, "Tumor: Positive"),
        ({"classification": "Tumor"}, "Tumor"),
        ({"classification": None, "class": "Tumor"}, "Tumor"),
        ({"label": " Tumor "}, "Tumor"),
    ],
)
def test_places_where_the_class_may_stand(properties: dict[str, Any], name: str) -> None:
    layout = parse_geojson(collection(feature(properties=properties)), cell=1.0, mpp=1.0)
    assert layout.conditions == (None, name)


def test_units_and_offsets_put_it_on_the_canvas() -> None:
    text = collection(feature([[[100, 40], [140, 40], [140, 80], [100, 80]]]))
    assert parse_geojson(text, cell=1.0, mpp=0.25).bounds == (25.0, 10.0, 35.0, 20.0)
    assert parse_geojson(text, cell=1.0, mpp=(0.25, 0.5)).bounds == (25.0, 20.0, 35.0, 40.0)
    assert parse_geojson(text, cell=1.0, mpp=0.25, offset=(20.0, 12.0)).bounds == (5.0, -2.0, 15.0, 8.0)
    assert parse_geojson(text, cell=1.0, unit="micrometer").bounds == (100.0, 40.0, 140.0, 80.0)
    # y of a CRS grows upwards: the canvas's top left corner is at (90, 100).
    raster = parse_geojson(text, cell=1.0, unit="crs", offset=(90.0, 100.0))
    assert raster.bounds == (10.0, 20.0, 50.0, 60.0)


def test_background_and_embeddings_as_conditions() -> None:
    layout = parse_geojson(
        QUPATH, cell=1.0, mpp=0.5, classes={"Tumor": np.float32([1, 2]), "Stroma": None}, background="Glass"
    )
    assert layout.conditions == ("Glass", None, (1.0, 2.0))
    merged = parse_geojson(QUPATH, cell=1.0, mpp=0.5, classes={"Tumor": "x", "Stroma": "x"}, background="x")
    assert merged.conditions == ("x",)
    assert not merged.index(Box(0, 0, 40, 30)).any()


def test_ignored_classes_are_left_out_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layout = parse_geojson(QUPATH, cell=1.0, mpp=0.5, ignore=["Stroma"], known=["Tumor"])
    assert layout.conditions == (None, "Tumor")


def test_features_without_a_class_are_left_out_with_one_warning() -> None:
    text = collection(feature(properties={}), feature(), feature(properties=None))
    with pytest.warns(UserWarning, match=r"2 of 3 features have no class.*\(1, 3\)") as caught:
        layout = parse_geojson(text, cell=1.0, mpp=1.0)
    assert len(caught) == 1
    assert layout.conditions == (None, "Tumor")
    with pytest.raises(ConditionError, match="no feature with a class"):
        parse_geojson(collection(feature(properties={})), cell=1.0, mpp=1.0)


def test_an_area_that_crosses_itself_is_filled_as_drawn_with_a_warning() -> None:
    bow = [[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]]
    with pytest.warns(UserWarning, match="1 of 2 polygons cross themselves"):
        layout = parse_geojson(collection(feature(bow), feature()), cell=1.0, mpp=1.0, ignore=())
    with pytest.warns(UserWarning, match="even-odd"):
        alone = parse_geojson(collection(feature(bow)), cell=1.0, mpp=1.0)
    assert at(alone, 2.0, 5.0) == at(alone, 8.0, 5.0) == "Tumor"
    assert at(alone, 5.0, 1.5) is at(alone, 5.0, 8.5) is None
    assert at(layout, 4.5, 1.5) == "Tumor"


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (feature([1, 2], "Point"), "is a Point; only areas"),
        (feature([[0, 0], [1, 1]], "LineString"), "is a LineString; only areas"),
        (feature([[0, 0]], "MultiPoint"), "is a MultiPoint"),
        ({"type": "Feature", "geometry": None, "properties": TUMOUR}, "feature without geometry"),
        ({"type": "Feature", "geometry": {"type": "GeometryCollection"}, "properties": {}}, "GeometryCollection"),
        ({"type": "Polygon", "coordinates": SQUARE}, "is no GeoJSON feature"),
        ("Tumor", "is no GeoJSON feature"),
        (feature([]), "without rings"),
        (feature(None), "without rings"),
        (feature([], "MultiPolygon"), "without polygons"),
        (feature([[]], "MultiPolygon"), "without rings"),
        (feature([[[0, 0], [1, 0]]]), "ring without area"),
        (feature([[[0, 0], [1, 1], [2, 2], [0, 0]]]), "ring without area"),
        (feature([[[3, 3], [3, 3], [3, 3], [3, 3]]]), "ring without area"),
        (feature([[["0", "0"], ["1", "0"], ["1", "1"]]]), r"no list of \[x, y\]"),
        (feature([[[0, 0], [1, 0, 5], [1, 1]]]), r"no list of \[x, y\]"),
        (feature([[[0], [1], [2]]]), r"no list of \[x, y\]"),
        (feature([[[0, 0], None, [1, 1]]]), r"no list of \[x, y\]"),
        (feature([SQUARE]), r"no list of \[x, y\]"),
        (feature([[[0, 0], [10**400, 0], [1, 1]]]), r"no list of \[x, y\]"),
        (feature([[[k % 7, 10 * (k % 2)] for k in range(2100)]]), "a scribble and no outline"),
        (feature(properties={"classification": 7}), "class that is no text: 7"),
        (feature(properties={"class": ["a"]}), "class that is no text"),
        (
            feature(properties={"classification": {"name": "Fat"}}),
            "'Fat', which the model does not know.*Tumor, Benign",
        ),
    ],
)
def test_a_feature_that_cannot_be_used_is_named(second: Any, message: str) -> None:
    with pytest.raises(ConditionError, match=f"^feature 2 of the GeoJSON text.*{message}"):
        parse_geojson(collection(feature(), second), cell=1.0, mpp=1.0, known=["Tumor", "Benign"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no GeoJSON"),
        (QUPATH[:300], "cut off"),
        ("[" * 100_000, "nested too deeply|no GeoJSON"),
        ("7", "no GeoJSON with features"),
        ('{"type": "Topology"}', "type is 'Topology'"),
        ('{"type": "FeatureCollection"}', "FeatureCollection"),
        ("[]", "no features"),
        (collection(), "no features"),
        (collection(feature()).replace("[8, 0]", "[NaN, 0]"), "coordinate NaN"),
        (collection(feature()).replace("[8, 0]", "[-Infinity, 0]"), "coordinate -Infinity"),
        (collection(feature()).replace("[8, 0]", "[1e999, 0]"), "feature 1 .* not finite"),
    ],
)
def test_a_text_that_cannot_be_used_is_one_error(text: str, message: str) -> None:
    with pytest.raises(ConditionError, match=message):
        parse_geojson(text, cell=1.0, mpp=1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give mpp"),
        ({"mpp": 0.0}, "mpp must be a positive"),
        ({"mpp": (0.5, float("nan"))}, "mpp must be a positive"),
        ({"mpp": 1.0, "unit": "micrometer"}, "mpp has no meaning"),
        ({"unit": "inch"}, "not 'inch'"),
        ({"mpp": 1.0, "cell": 0.0}, "cell of a layout"),
        ({"mpp": 1.0, "offset": (1.0,)}, "offset"),
        ({"mpp": 1.0, "offset": (1.0, float("inf"))}, "offset"),
        ({"mpp": 1.0, "classes": {"Tumour": "a"}}, "feature 2 .*'Tumor'.*given for Tumour"),
        ({"mpp": 1.0, "classes": {"Tumor": "Fat"}, "known": ["a", "Stroma"]}, "'Tumor'.*'Fat'.*a, Stroma"),
        ({"mpp": 1.0, "background": "Fat", "known": ["Tumor", "Stroma"]}, "background.*'Fat'"),
        ({"mpp": 1.0, "known": []}, "feature 1 .*trained without classes"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    text = QUPATH.replace("Stroma", "Tumour", 1) if "Tumour" in str(options) else QUPATH
    with pytest.raises(ConditionError, match=message):
        parse_geojson(text, **{"cell": 1.0} | options)


def test_case_matters_only_where_it_must() -> None:
    layout = parse_geojson(QUPATH, cell=1.0, mpp=0.5, known=["tumor", "STROMA"])
    assert layout.conditions == (None, "STROMA", "tumor")
    with pytest.raises(ConditionError, match="'Tumor'"):
        parse_geojson(QUPATH, cell=1.0, mpp=0.5, known=["tumor", "TUMOR", "stroma"])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConditionError, match=r"none\.geojson cannot be read: No such file"):
        polygons_from_geojson(tmp_path / "none.geojson", cell=1.0, mpp=1.0)
    with pytest.raises(ConditionError, match="cannot be read: Is a directory"):
        polygons_from_geojson(tmp_path, cell=1.0, mpp=1.0)
    picture = tmp_path / "picture.geojson"
    picture.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ConditionError, match="not UTF-8"):
        polygons_from_geojson(picture, cell=1.0, mpp=1.0)
    large = tmp_path / "large.geojson"
    with large.open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(ConditionError, match=r"100 MiB; at most 64 MiB.*simplify"):
        polygons_from_geojson(large, cell=1.0, mpp=1.0)


def test_too_many_features_or_vertices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    many = "[" + ",".join(["0"] * (features.MAX_FEATURES + 1)) + "]"
    with pytest.raises(ConditionError, match="100001 features; at most 100000"):
        parse_geojson(many, cell=1.0, mpp=1.0)
    monkeypatch.setattr(features, "MAX_VERTICES", 9)
    parse_geojson(collection(feature()), cell=1.0, mpp=1.0)
    with pytest.raises(ConditionError, match="9 vertices"):
        parse_geojson(collection(feature(), feature()), cell=1.0, mpp=1.0)
