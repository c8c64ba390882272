"""Label rasters from arrays and files: PNG, TIFF and GeoTIFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from infbrush_wsi.conditioning.layout import RasterLayout, raster, raster_file, raster_from_file
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConditionError

NAMES = {1: "Tumor", 2: "Stroma"}
VALUES = np.random.default_rng(0).integers(0, 3, (12, 17)).astype(np.uint8)


def classes(layout: RasterLayout, box: Box) -> list[list[Any]]:
    return [[layout.conditions[index] for index in row] for row in layout.index(box)]


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-3, 1e3), st.integers(1, 40), st.integers(1, 40))
def test_with_cells_of_a_pixel_the_nodes_are_the_pixels(pixel: float, h: int, w: int) -> None:
    values = np.random.default_rng([h, w]).integers(0, 3, (h, w))
    layout = RasterLayout(values, NAMES, pixel)
    assert layout.cell == pixel
    named = [None if value == 0 else NAMES[value] for value in values.ravel().tolist()]
    found = [layout.conditions[index] for index in layout.index(Box(0, 0, w, h)).ravel()]
    assert found == named


@settings(max_examples=50, deadline=None)
@given(
    st.floats(0.3, 3), st.floats(0.3, 3), st.floats(0.3, 9), st.floats(-20, 20), st.floats(-20, 20), st.integers(-9, 9)
)
def test_a_node_has_the_value_of_the_pixel_it_lies_in(
    px: float, py: float, cell: float, ox: float, oy: float, first: int
) -> None:
    layout = RasterLayout(VALUES, NAMES, (px, py), cell, "Glass", (ox, oy))
    found = classes(layout, Box(first, first, 12, 12))
    for i in range(12):
        for j in range(12):
            x, y = ((first + j + 0.5) * cell + ox) / px, ((first + i + 0.5) * cell + oy) / py
            inside = 0 <= x < 17 and 0 <= y < 12
            assert found[i][j] == ({0: "Glass"} | NAMES)[int(VALUES[int(y), int(x)]) if inside else 0]


def test_zero_may_be_a_class_and_beyond_the_raster_is_background() -> None:
    layout = RasterLayout(np.zeros((1, 1), int), {0: "Tumor"}, 1.0, background="Glass")
    assert classes(layout, Box(-1, 0, 3, 1)) == [["Glass", "Tumor", "Glass"]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_signed_and_large_values(dtype: type) -> None:
    top = np.iinfo(dtype).max
    values = np.array([[0, top], [top, 5]], dtype)
    layout = RasterLayout(values, {int(top): "a", 5: [1.5], 77: "unused"}, 1.0)
    assert classes(layout, Box(0, 0, 2, 2)) == [[None, "a"], ["a", (1.5,)]]


def test_more_values_than_a_byte_holds_and_more_pixels_than_a_band() -> None:
    side = 2100  # more than PIXELS_AT_ONCE
    assert side**2 > raster.PIXELS_AT_ONCE
    values = (np.arange(side**2) % 300).reshape(side, side)
    layout = RasterLayout(values, {k: f"c{k}" for k in range(1, 300)}, 1.0)
    assert [layout.conditions[k] for k in layout.index(Box(0, 0, 3, 1))[0]] == [None, "c1", "c2"]
    np.testing.assert_array_equal(layout.index(Box(0, 0, side, side)), values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": VALUES.astype(float)}, "whole numbers.*float64"),
        ({"values": VALUES[None]}, r"shape \(1, 12, 17\)"),
        ({"values": VALUES[:0]}, r"shape \(0, 17\)"),
        ({"values": VALUES + 1}, "values 3, for which no condition"),
        ({"values": np.arange(3, 40).reshape(1, -1)}, r"3, 4, 5, 6, 7, 8, 9, 10, 11, 12, \.\.\."),
        ({"values": np.arange(70_000).reshape(1, -1), "conditions": dict.fromkeys(range(70_000))}, "70000 values"),
        ({"conditions": {1: "a", 2: ""}}, "label 2 is an empty class name"),
        ({"pixel": 0.0}, "pixel of a label raster"),
        ({"pixel": (1.0, -1.0)}, "pixel of a label raster"),
        ({"cell": float("nan")}, "cell of a layout"),
        ({"background": [float("inf")]}, "the background must be a finite"),
        ({"offset": "here"}, "offset"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConditionError, match=message):
        RasterLayout(**{"values": VALUES, "conditions": NAMES, "pixel": 1.0} | change)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [(mode, suffix) for mode in ("L", "P", "I;16", "1") for suffix in (".png", ".tif")] + [("I", ".tif")],
)
def test_pictures_of_every_integer_mode(tmp_path: Path, mode: str, suffix: str) -> None:
    values = VALUES % 2 if mode == "1" else VALUES
    dtype = {"I;16": np.uint16, "I": np.int32}.get(mode, np.uint8)
    picture = Image.fromarray((values * 255).astype(np.uint8)).convert("1") if mode == "1" else None
    if picture is None:
        picture = Image.fromarray(values.astype(dtype))
    if mode == "P":
        picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    path = tmp_path / f"labels{suffix}"
    picture.save(path)
    layout = raster_from_file(path, conditions=NAMES, pixel=4.0)
    assert layout == RasterLayout(values, NAMES, 4.0)


@pytest.fixture
def geotiff(tmp_path: Path) -> Any:
    rasterio = pytest.importorskip("rasterio")

    def write(values: np.ndarray, **changes: Any) -> Path:
        path = tmp_path / "labels.tif"
        profile = {
            "driver": "GTiff",
            "height": values.shape[-2],
            "width": values.shape[-1],
            "count": 1,
            "dtype": values.dtype,
            "crs": "EPSG:32633",
            "transform": rasterio.transform.from_origin(500000, 5000000, 2.0, 4.0),
        } | changes
        with rasterio.open(path, "w", **profile) as file:
            file.write(values if values.ndim == 3 else values[None])
        return path

    return write


def test_a_geotiff_knows_its_pixels_and_its_place(geotiff: Any) -> None:
    path = geotiff(VALUES.astype(np.int32))
    assert raster_from_file(path, conditions=NAMES) == RasterLayout(VALUES, NAMES, (2.0, 4.0))
    # The canvas's corner lies 6 m to the right of, and 8 m below, the raster's.
    moved = raster_from_file(path, conditions=NAMES, cell=2.0, offset=(500006.0, 4999992.0))
    assert moved == RasterLayout(VALUES, NAMES, (2.0, 4.0), 2.0, offset=(6.0, 8.0))
    assert classes(moved, Box(0, 0, 1, 1)) == [[({0: None} | NAMES)[int(VALUES[2, 3])]]]


def test_geotiffs_of_several_bands_or_south_up_are_refused(geotiff: Any) -> None:
    with pytest.raises(ConditionError, match=r"one band.*it has 3"):
        raster_from_file(geotiff(np.stack([VALUES] * 3), count=3), conditions=NAMES)
    from affine import Affine

    with pytest.raises(ConditionError, match="north up"):
        raster_from_file(geotiff(VALUES, transform=Affine(2, 0, 7, 0, 2, 9)), conditions=NAMES)


def test_files_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConditionError, match="there is no label raster"):
        raster_from_file(tmp_path / "none.png", conditions=NAMES, pixel=1.0)
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with pytest.raises(ConditionError, match="cannot be read as a label raster"):
        raster_from_file(text, conditions=NAMES, pixel=1.0)
    colour = tmp_path / "colour.png"
    Image.new("RGB", (4, 4)).save(colour)
    with pytest.raises(ConditionError, match="mode RGB"):
        raster_from_file(colour, conditions=NAMES, pixel=1.0)
    good = tmp_path / "good.png"
    Image.fromarray(VALUES).save(good)
    with pytest.raises(ConditionError, match="does not name its values"):
        raster_from_file(good, pixel=1.0)
    with pytest.raises(ConditionError, match="does not say its pixel size"):
        raster_from_file(good, conditions=NAMES)
    with pytest.raises(ConditionError, match=r"good\.png cannot be used.*values 2, for which"):
        raster_from_file(good, conditions={1: "a"}, pixel=1.0)
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:60])
    with pytest.raises(ConditionError, match="cannot be read"):
        raster_from_file(cut, conditions=NAMES, pixel=1.0)
    monkeypatch.setattr(raster_file, "MAX_PIXELS", 100)
    with pytest.raises(ConditionError, match=r"204 pixels; .* at most 100"):
        raster_from_file(good, conditions=NAMES, pixel=1.0)
