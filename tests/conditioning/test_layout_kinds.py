"""What holds for every kind of layout: windows agree, weights sum to one, JSON and pickle give the same layout."""

from __future__ import annotations

import base64
import json
import pickle
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.conditioning.layout import (
    EmbeddingGrid,
    Layout,
    PolygonLayout,
    RasterLayout,
    layout_from_json,
    uniform,
)
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConditionError, RegionError

STAR = np.array([[60 + 55 * np.cos(0.8 * np.pi * k), 50 + 45 * np.sin(0.8 * np.pi * k)] for k in range(5)])
"""A pentagram drawn in one line: it crosses itself."""


def blob(x: float, y: float, radius: float, corners: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    wobble = radius * (1 + 0.3 * np.sin(3 * angle))
    return np.stack([x + wobble * np.cos(angle), y + wobble * np.sin(angle)], axis=1)


def polygons() -> PolygonLayout:
    areas = [
        [blob(40, 40, 35, 200), blob(45, 38, 10, 30)],
        [blob(80, 60, 30, 7)],
        [STAR, blob(60, 50, 4, 9)],
        [np.array([[-30.0, -30.0], [10.0, -30.0], [10.0, 20.0], [-30.0, 20.0]])],
    ]
    return PolygonLayout(areas, [1, 2, 3, 1], [None, "Tumor", "Stroma", (0.5, -1.0)], cell=3.7)


def raster() -> RasterLayout:
    values = np.random.default_rng(1).integers(0, 4, (23, 31), dtype=np.int16)
    conditions = {1: "Tumor", 2: None, 3: [0.25, 0.5]}
    return RasterLayout(values, conditions, (4.1, 3.3), cell=5.0, background="Glass", offset=(-7.0, 11.0))


def grid() -> EmbeddingGrid:
    return EmbeddingGrid(np.random.default_rng(2).normal(size=(5, 7, 3)), cell=13.0, outside="mirror")


KINDS = {"uniform": lambda: uniform("Tumor", cell=8.0), "polygons": polygons, "raster": raster, "grid": grid}
WIDE = Box(-40, -35, 110, 100)
everywhere = st.sampled_from(sorted(KINDS))


@pytest.fixture(scope="module")
def wide() -> dict[str, tuple[Layout, np.ndarray]]:
    made = {name: make() for name, make in KINDS.items()}
    return {name: (layout, layout.index(WIDE)) for name, layout in made.items()}


def spread(indices: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    out = np.zeros((*weights.shape[:-1], count), np.float32)
    out[..., indices] = weights
    return out


def test_the_layouts_of_these_tests_are_not_trivial(wide: dict[str, tuple[Layout, np.ndarray]]) -> None:
    for name, (layout, index) in wide.items():
        assert index.dtype == np.int32
        assert len(np.unique(index)) == len(layout.conditions), name


@settings(max_examples=150, deadline=None)
@given(everywhere, st.integers(-40, 60), st.integers(-35, 60), st.integers(1, 40), st.integers(1, 40))
def test_a_window_is_the_crop_of_a_larger_one(
    wide: dict[str, tuple[Layout, np.ndarray]], kind: str, x: int, y: int, w: int, h: int
) -> None:
    layout, index = wide[kind]
    box = Box(x, y, w, h).intersect(WIDE)
    np.testing.assert_array_equal(layout.index(box), index[box.relative_to(WIDE).slices])


@settings(max_examples=60, deadline=None)
@given(
    everywhere,
    st.floats(0.05, 20),
    st.tuples(st.floats(-100, 100), st.floats(-100, 100)),
    st.integers(0, 10),
    st.integers(0, 10),
    st.integers(1, 8),
    st.integers(1, 8),
)
def test_weights_of_a_window_are_the_crop_of_those_of_a_larger_one(
    wide: dict[str, tuple[Layout, np.ndarray]],
    kind: str,
    step: float,
    corner: tuple[float, float],
    top: int,
    left: int,
    h: int,
    w: int,
) -> None:
    layout, count = wide[kind][0], len(wide[kind][0].conditions)
    y, x = corner[0] + step * np.arange(20), corner[1] + step * np.arange(21)
    whole = spread(*layout.weights(y, x), count)
    part = spread(*layout.weights(y[top : top + h], x[left : left + w]), count)
    np.testing.assert_array_equal(part, whole[top : top + h, left : left + w])
    points = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1)
    scattered = spread(*layout.weights_at(points.reshape(-1, 2)), count).reshape(whole.shape)
    np.testing.assert_array_equal(scattered, whole)
    order = np.random.default_rng(0).permutation(420)[:50]
    np.testing.assert_array_equal(
        spread(*layout.weights_at(points.reshape(-1, 2)[order]), count), whole.reshape(420, count)[order]
    )


@settings(max_examples=60, deadline=None)
@given(everywhere, st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(-1e6, 1e6))
def test_weights_sum_to_one_and_are_not_negative(kind: str, y: list[float], x: float) -> None:
    layout = KINDS[kind]()
    indices, weights = layout.weights(y, [x])
    assert weights.dtype == np.float32
    assert (np.diff(indices) > 0).all()
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=0, atol=4e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_has_its_own_condition_and_half_way_both(kind: str) -> None:
    layout = KINDS[kind]()
    index = layout.index(Box(-3, -2, 20, 16))
    y, x = (np.arange(-2, 14) + 0.5) * layout.cell, (np.arange(-3, 17) + 0.5) * layout.cell
    at_nodes = spread(*layout.weights(y, x), len(layout.conditions))
    np.testing.assert_allclose(np.take_along_axis(at_nodes, index[..., None], -1), 1.0, atol=1e-6)
    between = spread(*layout.weights(y, x[:-1] + layout.cell / 2), len(layout.conditions))
    np.testing.assert_allclose(between, (at_nodes[:, :-1] + at_nodes[:, 1:]) / 2, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_where_all_nodes_agree_the_weight_is_exactly_one(kind: str) -> None:
    layout = KINDS[kind]()
    index = layout.index(Box(-1, -1, 40, 40))
    y = x = np.linspace(0, 37 * layout.cell, 301)
    weights = spread(*layout.weights(y, x), len(layout.conditions))
    i, j = (np.floor(v / layout.cell - 0.5).astype(int) + 1 for v in (y, x))
    corners = np.stack([index[i + a][:, j + b] for a in (0, 1) for b in (0, 1)])
    same = (corners == corners[0]).all(axis=0)
    assert same.any() or kind == "grid"
    assert (weights.max(axis=-1)[same] == 1.0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_json_and_pickle_give_an_equal_layout(kind: str) -> None:
    layout = KINDS[kind]()
    text = layout.to_json()
    for again in (layout_from_json(text), pickle.loads(pickle.dumps(layout))):
        assert type(again) is type(layout)
        assert again == layout
        assert hash(again) == hash(layout)
        assert again.to_json() == text
        assert list(again.conditions) == list(layout.conditions)
        np.testing.assert_array_equal(again.index(WIDE), layout.index(WIDE))
    assert len(layout.token) == 64
    assert json.loads(json.dumps(layout.provenance()))["token"] == layout.token


def test_the_token_does_not_depend_on_how_arrays_are_deflated(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [(layout.token, layout.to_json()) for layout in (raster(), grid())]
    compress = zlib.compress
    monkeypatch.setattr(zlib, "compress", lambda plain, level: compress(plain, 9))
    other = [(layout.token, layout.to_json()) for layout in (raster(), grid())]
    for (token, text), (other_token, other_text) in zip(made, other, strict=True):
        assert text != other_text
        assert token == other_token == layout_from_json(other_text).token


def test_all_that_matters_is_in_the_token() -> None:
    square = [[np.array([[0.0, 0], [9, 0], [9, 9], [0, 9]])]]
    moved = [[square[0][0] + [1e-12, 0]]]
    one = np.ones((2, 2), int)
    layouts = [
        uniform("a"),
        uniform("b"),
        uniform(None),
        uniform([1.0]),
        uniform("a", cell=2.0),
        PolygonLayout(square, [1], [None, "a"], 1.0),
        PolygonLayout(square, [0], [None, "a"], 1.0),
        PolygonLayout(square, [1], ["a", None], 1.0),
        PolygonLayout(square, [1], [None, "a"], 2.0),
        PolygonLayout(moved, [1], [None, "a"], 1.0),
        RasterLayout(one, {1: "a"}, 1.0),
        RasterLayout(one, {1: "a"}, 1.0, offset=(0.5, 0.0)),
        RasterLayout(one, {1: "a"}, (1.0, 2.0)),
        RasterLayout(one, {1: "a"}, 1.0, background="b"),
        RasterLayout(one[:1], {1: "a"}, 1.0),
        EmbeddingGrid(np.ones((2, 2, 1)), 1.0),
        EmbeddingGrid(np.ones((2, 1, 2)), 1.0),
        EmbeddingGrid(np.ones((2, 2, 1)), 1.0, "wrap"),
    ]
    assert len({layout.token for layout in layouts}) == len(layouts)
    assert uniform("a") != "a"
    assert RasterLayout(one.astype(np.uint8), {1: "a"}, 1) == RasterLayout(one, {1: "a"}, 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_read_the_same(kind: str) -> None:
    expected = KINDS[kind]().index(WIDE)
    for _ in range(5):
        layout = KINDS[kind]()
        boxes = [Box(x, y, 25, 25) for x in range(-40, 45, 5) for y in range(-35, 40, 5)]
        with ThreadPoolExecutor(8) as pool:
            for box, found in zip(boxes, pool.map(layout.index, boxes), strict=True):
                np.testing.assert_array_equal(found, expected[box.relative_to(WIDE).slices])


def test_no_points_have_no_weights() -> None:
    indices, weights = uniform("a").weights([], [1.0, 2.0])
    assert weights.shape == (0, 2, len(indices))
    indices, weights = polygons().weights_at(np.empty((0, 2)))
    assert (len(indices), weights.shape) == (0, (0, 0))


@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [1e300], [[1.0]], ["a"], 3.0])
def test_coordinates_that_are_none_are_refused(bad: list[float]) -> None:
    with pytest.raises(RegionError, match=r"^x "):
        grid().weights([1.0], bad)
    with pytest.raises(RegionError, match=r"^yx "):
        grid().weights_at(bad)


def test_too_much_at_once_is_refused() -> None:
    with pytest.raises(RegionError, match="positive size"):
        uniform("a").index(Box(0, 0, 0, 4))
    with pytest.raises(RegionError, match="memory"):
        uniform("a").index(Box(0, 0, 100_000, 100_000))
    many = EmbeddingGrid(np.zeros((300, 300, 1)), 1.0)
    with pytest.raises(RegionError, match="larger cells"):
        many.weights(np.arange(300), np.arange(300))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "null",
        lambda text: text.replace('"layout":1', '"layout":2'),
        lambda text: text.replace('"kind":"', '"kind":"x'),
        lambda text: text.replace('"cell":', '"cello":'),
        lambda text: text.replace('"conditions":[', '"conditions":[{},').replace('"dtype":"float32"', '"dtype":"int8"'),
        lambda text: text.replace('"deflated":"', '"deflated":"AAAA').replace('"owners":[', '"owners":[9,'),
    ],
)
@pytest.mark.parametrize("kind", ["polygons", "raster", "grid"])
def test_damaged_json_is_one_error(kind: str, damage: object) -> None:
    text = KINDS[kind]().to_json()
    assert callable(damage)
    broken = damage(text)
    assert broken != text
    with pytest.raises(ConditionError, match=r"stored layout|beyond|owner"):
        layout_from_json(broken)


def test_text_that_inflates_without_end_is_not_inflated() -> None:
    record = json.loads(grid().to_json())
    record["embeddings"]["deflated"] = base64.b64encode(zlib.compress(bytes(64 << 20))).decode()
    tracemalloc.start()
    try:
        with pytest.raises(ConditionError, match="421 bytes where 420 are due"):
            layout_from_json(json.dumps(record))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bad", ["", " ", [np.nan], [[[1.0]]], ["a"], [], {}])
def test_conditions_that_are_none_are_refused(bad: object) -> None:
    with pytest.raises(ConditionError):
        uniform(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf"), "wide", None])
def test_cells_without_a_length_are_refused(bad: float) -> None:
    with pytest.raises(ConditionError, match="positive length"):
        uniform("a", cell=bad)
