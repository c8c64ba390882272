"""Layouts come back out as GeoJSON, in the form that QuPath writes and reads."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.conditioning.layout import (
    EmbeddingGrid,
    PolygonLayout,
    RasterLayout,
    label_map,
    layout_to_geojson,
    outlines,
    parse_geojson,
    to_geojson,
    uniform,
    write_geojson,
)
from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import ConditionError, OutputExistsError
from infbrush_wsi.writers.label_metadata import ImagePlace, label_attributes
from infbrush_wsi.writers.layout import StoreLayout

NAMES = ("Tumor", "Stroma", "Tumor: Positive", "Nécrose")


def features(text: str) -> list[tuple[Any, str]]:
    """Polygons and their classes, read without any code of this package."""
    found = []
    for each in json.loads(text)["features"]:
        assert (each["type"], each["properties"]["objectType"]) == ("Feature", "annotation")
        kind = each["properties"]["classification"]
        name = kind["name"] if "name" in kind else ": ".join(kind["names"])
        assert len(kind["color"]) == 3
        assert all(isinstance(part, int) and 0 <= part <= 255 for part in kind["color"])
        found.append((shapely.from_geojson(json.dumps(each["geometry"])), name))
    return found


def collection(polygons: list[tuple[Any, str]]) -> str:
    listed = [
        {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(body),
            "properties": {"classification": {"name": name}},
        }
        for body, name in polygons
    ]
    return json.dumps({"type": "FeatureCollection", "features": listed})


@st.composite
def polygons(draw: st.DrawFn) -> Any:
    """Star-shaped polygons in slides of up to a million pixels, some with a hole of the same form."""
    scale = draw(st.sampled_from([3.0, 80.0, 5_000.0]))
    x, y = (draw(st.floats(-1_000, 1e6)) for _ in "xy")
    radii = np.array(draw(st.lists(st.floats(0.5, 1.0), min_size=3, max_size=12)))
    angles = 2 * np.pi * np.arange(len(radii)) / len(radii)
    rim = scale * np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    centre = np.array([x, y])
    holes = [rim * 0.3 + centre] if draw(st.booleans()) else []
    return shapely.Polygon(rim + centre, holes)


@settings(max_examples=25, deadline=None)
@given(
    drawn=st.lists(st.tuples(polygons(), st.sampled_from(NAMES)), min_size=1, max_size=5),
    mpp=st.sampled_from([0.25, 0.2527, (0.5, 0.4961), 7.0]),
    offset=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_polygons_come_back_where_they_were(drawn: Any, mpp: Any, offset: Any) -> None:
    first = parse_geojson(collection(drawn), cell=4.0, mpp=mpp, offset=offset)
    text = layout_to_geojson(first, mpp=mpp, offset=offset)
    found = features(text)
    assert [name for _, name in found] == [name for _, name in drawn]
    for (body, _), (given_body, _) in zip(found, drawn, strict=True):
        assert shapely.equals_exact(body, given_body, tolerance=1e-6)
    again = parse_geojson(text, cell=4.0, mpp=mpp, offset=offset)
    assert again.conditions == first.conditions
    # From here on nothing changes any more, not a digit.
    assert layout_to_geojson(again, mpp=mpp, offset=offset) == text


@settings(max_examples=25, deadline=None)
@given(data=st.data(), h=st.integers(1, 12), w=st.integers(1, 12))
def test_a_label_raster_comes_back_pixel_for_pixel(data: Any, h: int, w: int) -> None:
    flat = data.draw(st.lists(st.integers(0, 3), min_size=h * w, max_size=h * w))
    values = np.array(flat, np.uint8).reshape(h, w)
    names = {1: "Tumor", 2: "Stroma", 3: "Fat"}
    layout = RasterLayout(values, names, pixel=(4.0, 8.0))
    if not values.any():
        with pytest.raises(ConditionError, match="background everywhere"):
            layout_to_geojson(layout, mpp=0.5)
        return
    text = layout_to_geojson(layout, mpp=0.5)
    found = features(text)
    for value, name in names.items():
        bodies = [body for body, kind in found if kind == name]
        assert all(shapely.is_valid(body) for body in bodies)
        assert sum(body.area for body in bodies) == (values == value).sum() * 8 * 16  # pixels of 0.5 µm
    assert shapely.union_all([body for body, _ in found]).area == (values > 0).sum() * 8 * 16
    again = parse_geojson(text, cell=4.0, mpp=0.5)
    # A node on a border would belong to both sides: nodes lie in the middle of pixels, on x and on y.
    index = again.index(Box(0, 0, w, 2 * h))
    back = np.array([None, *names.values()], dtype=object)[values].repeat(2, axis=0)
    assert (np.array(again.conditions, dtype=object)[index] == back).all()


def test_polygons_by_way_of_their_label_image_keep_their_area() -> None:
    disc = shapely.Point(200, 160).buffer(120, quad_segs=64)
    ring = shapely.Point(520, 300).buffer(150).difference(shapely.Point(520, 300).buffer(70))
    drawn = [(disc, "Tumor"), (ring, "Stroma")]
    layout = parse_geojson(collection(drawn), cell=1.0, mpp=0.5)
    labels = label_map(layout)
    raster = RasterLayout(labels.read(Box(0, 0, 400, 300)), labels.names, pixel=1.0)
    found = features(layout_to_geojson(raster, mpp=0.5))
    assert sorted(name for _, name in found) == ["Stroma", "Tumor"]
    for body, name in drawn:
        (traced,) = [other for other, kind in found if kind == name]
        assert traced.area == pytest.approx(body.area, rel=0.01)
        assert traced.intersection(body).area / traced.union(body).area > 0.98
        assert len(traced.interiors) == len(body.interiors)


def test_what_lies_beyond_the_image_is_cut_off() -> None:
    values = np.ones((4, 5), np.uint8)
    raster = RasterLayout(values, {1: "Tumor"}, pixel=8.0)
    ((body, _),) = features(layout_to_geojson(raster, mpp=1.0, size=(37.0, 30.0)))
    assert body.equals(shapely.box(0, 0, 37, 30))
    moved = RasterLayout(values, {1: "Tumor"}, pixel=8.0, offset=(12.0, -8.0))
    ((body, _),) = features(layout_to_geojson(moved, mpp=1.0, size=(100.0, 20.0)))
    assert body.equals(shapely.box(0, 8, 28, 20))
    drawn = [(shapely.box(-5, 2, 5, 4).union(shapely.box(-5, 6, 5, 8)).union(shapely.box(-5, 2, -4, 8)), "Tumor")]
    layout = parse_geojson(collection([*drawn, (shapely.box(40, 0, 50, 9), "Fat")]), cell=1.0, mpp=1.0)
    found = features(layout_to_geojson(layout, mpp=1.0, size=(30.0, 30.0)))
    assert [(body.bounds, name) for body, name in found] == [((0, 2, 5, 4), "Tumor"), ((0, 6, 5, 8), "Tumor")]
    with pytest.raises(ConditionError, match="background everywhere"):
        layout_to_geojson(raster, mpp=1.0, size=(-1.0, 5.0))


def test_colours_are_those_of_the_label_image() -> None:
    layout = parse_geojson(collection([(shapely.box(0, 0, 9, 9), name) for name in NAMES]), cell=1.0, mpp=1.0)
    lattice = Lattice.regular(Shape(9, 9), 1.0)
    axes = ({"name": "y"}, {"name": "x"})
    place = ImagePlace(lattice.transform, "micrometer", lattice.spacing, lattice.spacing, axes)
    stored = label_attributes(StoreLayout("0.5", "flat", 64), "layout", place, [], label_map(layout).names, None)
    colours = {each["label-value"]: each["rgba"][:3] for each in stored["ome"]["image-label"]["colors"]}
    names = {each["label-value"]: each["class"] for each in stored["ome"]["image-label"]["properties"]}
    written = [
        each["properties"]["classification"] for each in json.loads(layout_to_geojson(layout, mpp=1.0))["features"]
    ]
    assert [kind["color"] for kind in written] == [colours[value] for value in sorted(colours)]
    assert [kind.get("name") or ": ".join(kind["names"]) for kind in written] == [names[v] for v in sorted(names)]


def test_embeddings_and_areas_without_a_condition_have_names_to_map_back() -> None:
    drawn = [(shapely.box(k, 0, k + 5, 5), name) for k, name in enumerate("abc")]
    meant = {"a": np.float32([1, 2]), "b": None, "c": "Fat"}
    layout = parse_geojson(collection(drawn), cell=1.0, mpp=1.0, classes=meant, background="Glass")
    text = layout_to_geojson(layout, mpp=1.0)
    assert [name for _, name in features(text)] == ["embedding 2", "no condition", "Fat"]
    back = {"embedding 2": np.float32([1, 2]), "no condition": None, "Fat": "Fat"}
    assert parse_geojson(text, cell=1.0, mpp=1.0, classes=back, background="Glass") == layout


def test_rasters_are_written_in_their_crs(tmp_path: Any) -> None:
    layout = parse_geojson(collection([(shapely.box(10, 20, 50, 60), "Water")]), cell=1.0, unit="micrometer")
    corner = (600_000.0, 4_500_000.0)
    path = write_geojson(layout, tmp_path / "a.geojson", unit="crs", offset=corner, crs="epsg:26914")
    ((body, _),) = features(path.read_text())
    assert body.equals(shapely.box(600_010, 4_499_940, 600_050, 4_499_980))
    pyogrio = pytest.importorskip("pyogrio", reason="GDAL's own reader of GeoJSON")
    meta, _, geometry, _ = pyogrio.raw.read(path)
    assert meta["crs"] == "EPSG:26914"
    assert shapely.from_wkb(geometry[0]).equals(body)


def test_polygons_that_cross_themselves_are_kept_as_drawn_with_a_warning() -> None:
    bow = shapely.Polygon([[0, 0], [10, 10], [10, 0], [0, 10]])
    with pytest.warns(UserWarning, match="cross themselves"):
        layout = parse_geojson(collection([(bow, "Tumor")]), cell=1.0, mpp=1.0)
    with pytest.warns(UserWarning, match="1 of 1 polygons cross themselves"):
        text = layout_to_geojson(layout, mpp=1.0, size=(5.0, 5.0))
    assert shapely.equals_exact(features(text)[0][0], bow)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert parse_geojson(text, cell=1.0, mpp=1.0) == layout


def test_an_area_smaller_than_the_last_digit_is_not_lost() -> None:
    tiny = shapely.Polygon([[5, 5], [5 + 2e-7, 5], [5, 5 + 2e-7]])
    layout = parse_geojson(collection([(tiny, "Tumor")]), cell=1.0, mpp=1.0)
    text = layout_to_geojson(layout, mpp=1.0)
    assert parse_geojson(text, cell=1.0, mpp=1.0) == layout


def test_the_file_appears_whole_and_is_not_replaced_unasked(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = parse_geojson(collection([(shapely.box(0, 0, 9, 9), "Nécrose")]), cell=1.0, mpp=1.0)
    record = {"synthetic": True, "seed": 7}
    path = write_geojson(layout, tmp_path / "a.geojson", mpp=1.0, provenance=record)
    assert json.loads(path.read_text())["infbrush_wsi"] == record
    with pytest.raises(OutputExistsError, match=r"a\.geojson"):
        write_geojson(layout, path, mpp=1.0)
    write_geojson(layout, path, mpp=0.5, overwrite=True)
    assert features(path.read_text())[0][0].bounds == (0, 0, 18, 18)
    monkeypatch.setattr(to_geojson, "MAX_BYTES", 100)
    with pytest.raises(ConditionError, match="at most 0 MiB are read: give it larger cells"):
        write_geojson(layout, tmp_path / "b.geojson", mpp=1.0)
    assert [each.name for each in tmp_path.iterdir()] == ["a.geojson"]


def test_too_many_areas_are_refused_before_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    chequered = np.indices((6, 6)).sum(axis=0) % 2
    layout = RasterLayout(chequered, {1: "Tumor"}, pixel=1.0)
    assert len(features(layout_to_geojson(layout, mpp=1.0))) == 18
    monkeypatch.setattr(outlines, "MAX_FEATURES", 17)
    with pytest.raises(ConditionError, match=r"more than 17 areas.*larger cells"):
        layout_to_geojson(layout, mpp=1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give mpp"),
        ({"mpp": -1.0}, "mpp must be a positive"),
        ({"mpp": 1.0, "unit": "crs"}, "mpp has no meaning"),
        ({"mpp": 1.0, "crs": "EPSG:26914"}, "unit='crs'"),
        ({"unit": "crs", "crs": 'PROJCS["a"]'}, "AUTHORITY:CODE"),
        ({"mpp": 1.0, "provenance": {"a": float("nan")}}, "plain JSON"),
        ({"mpp": 1.0, "provenance": {"a": object()}}, "plain JSON"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    layout = PolygonLayout([[np.array([[0.0, 0], [1, 0], [1, 1]])]], [1], (None, "Tumor"), 1.0)
    with pytest.raises(ConditionError, match=message):
        layout_to_geojson(layout, **options)


@pytest.mark.parametrize("layout", [uniform("Tumor"), EmbeddingGrid(np.ones((2, 2, 3), np.float32), 8.0)])
def test_layouts_without_areas_say_so(layout: Any) -> None:
    with pytest.raises(ConditionError, match=f"'{layout.kind}' has no areas"):
        layout_to_geojson(layout, mpp=1.0)
