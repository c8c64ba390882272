"""Which nodes lie in polygons: against closed-form areas and an even-odd rule of the tests' own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.conditioning.layout import PolygonLayout
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConditionError

coordinate = st.floats(-50, 50, allow_nan=False)
ring = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=9, unique=True)


def has_area(points: np.ndarray) -> bool:
    return bool(np.linalg.matrix_rank(points[1:] - points[0], tol=1e-3) == 2)


def even_odd(points: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        crosses = (y0 > y) != (y1 > y)
        with np.errstate(all="ignore"):
            inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside


def border_distance(points: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    nearest = np.full(x.shape, np.inf)
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        along = np.clip(((x - a[0]) * (b - a)[0] + (y - a[1]) * (b - a)[1]) / max(1e-300, ((b - a) ** 2).sum()), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - a[0] - along * (b - a)[0], y - a[1] - along * (b - a)[1]))
    return nearest


def nodes(box: Box, cell: float) -> tuple[np.ndarray, np.ndarray]:
    y, x = (np.arange(box.y0, box.y1) + 0.5) * cell, (np.arange(box.x0, box.x1) + 0.5) * cell
    return np.meshgrid(x, y)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(ring, st.none() | ring), min_size=1, max_size=4))
def test_any_polygons_crossing_or_not_later_over_earlier(drawn: list[tuple[list, list | None]]) -> None:
    areas = [[np.array(each) for each in (outline, hole) if each is not None] for outline, hole in drawn]
    areas = [rings for rings in areas if all(map(has_area, rings))]
    if not areas:
        return
    box = Box(-30, -30, 60, 60)
    layout = PolygonLayout(areas, range(1, len(areas) + 1), [None, *"abcd"][: len(areas) + 1], cell=1.9)
    x, y = nodes(box, 1.9)
    expected = np.zeros(x.shape, int)
    clear = np.ones(x.shape, bool)
    for number, rings in enumerate(areas, start=1):
        inside = even_odd(rings[0], x, y)
        if len(rings) > 1:
            inside &= ~even_odd(rings[1], x, y)
        expected[inside] = number
        clear &= np.min([border_distance(each, x, y) for each in rings], axis=0) > 1e-6
    np.testing.assert_array_equal(layout.index(box)[clear], expected[clear])


@pytest.mark.parametrize("degrees", [0.0, 7.0, 30.0, 45.0, 81.3])
def test_a_rotated_square_with_a_rotated_hole_has_its_area(degrees: float) -> None:
    side, hole, cell = 400.0, 150.0, 0.5
    turn = math.radians(degrees)
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    unit = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    rings = [unit * length @ rotation + [301.3, 299.1] for length in (side, hole)]
    index = PolygonLayout([rings], [1], [None, "a"], cell).index(Box(0, 0, 1300, 1300))
    area = (index == 1).sum() * cell**2
    # Nodes within half a cell of the border decide; on average they cancel, but where it follows the lattice.
    worst = 4 * (side + hole) * cell / 2
    assert area == pytest.approx(side**2 - hole**2, abs=worst if degrees in (0.0, 45.0) else worst / 10)
    y, x = np.nonzero(index)
    np.testing.assert_allclose([(x.mean() + 0.5) * cell, (y.mean() + 0.5) * cell], [301.3, 299.1], atol=cell / 2)


def test_neighbours_leave_no_gap_and_the_later_one_has_the_border() -> None:
    # Corners lie exactly on nodes, which are at 0.5, 1.5, ...
    left = np.array([[0.5, 0.5], [4.5, 0.5], [4.5, 4.5], [0.5, 4.5]])
    right = left + np.array([4.0, 0.0])
    index = PolygonLayout([[left], [right]], [1, 2], [None, "a", "b"], 1.0).index(Box(0, 0, 10, 6))
    np.testing.assert_array_equal(index[2], [1, 1, 1, 1, 2, 2, 2, 2, 2, 0])
    np.testing.assert_array_equal(index[:, 2], [1, 1, 1, 1, 1, 0])
    swapped = PolygonLayout([[right], [left]], [2, 1], [None, "a", "b"], 1.0).index(Box(0, 0, 10, 6))
    np.testing.assert_array_equal(swapped[2], [1, 1, 1, 1, 1, 2, 2, 2, 2, 0])


def test_the_border_of_a_hole_belongs_to_the_polygon() -> None:
    outline = np.array([[0.0, 0], [9, 0], [9, 9], [0, 9]])
    hole = np.array([[2.5, 2.5], [6.5, 2.5], [6.5, 6.5], [2.5, 6.5]])
    index = PolygonLayout([[outline, hole]], [1], [None, "a"], 1.0).index(Box(0, 0, 9, 9))
    np.testing.assert_array_equal(index[4], [1, 1, 1, 0, 0, 0, 1, 1, 1])
    crossing = np.array([[0.0, 0], [9, 0], [9, 9], [0, 9], [-1, 3], [-1, 4], [0, 2]])
    layout = PolygonLayout([[crossing, hole]], [1], [None, "a"], 1.0)
    assert layout.crossing == (0,)
    np.testing.assert_array_equal(layout.index(Box(0, 0, 9, 9))[4], index[4])


def test_bounds_and_nodes_far_away() -> None:
    square = np.array([[1000.0, -50], [1010, -50], [1010, -40], [1000, -40]])
    layout = PolygonLayout([[square]], [1], [None, "a"], 1.0)
    assert layout.bounds == (1000.0, -50.0, 1010.0, -40.0)
    assert layout.crossing == ()
    assert layout.index(Box(998, -51, 14, 13)).sum() == 100
    assert not layout.index(Box(0, 0, 200, 200)).any()


def test_many_small_polygons_are_quick_and_exact() -> None:
    # 40,000 squares of 3 x 3 nodes on a grid of 4: a cell segmentation.
    k = np.arange(200) * 4.0
    corner = np.stack(np.meshgrid(k, k), axis=-1).reshape(-1, 2)
    square = np.array([[0.25, 0.25], [2.75, 0.25], [2.75, 2.75], [0.25, 2.75]])
    layout = PolygonLayout([[each + square] for each in corner], [1] * len(corner), [None, "a"], 1.0)
    index = layout.index(Box(0, 0, 800, 800))
    row = np.tile([1, 1, 1, 0], 200)
    np.testing.assert_array_equal(index, np.outer(row, row))


def test_polygons_without_owners_are_refused() -> None:
    square = [np.array([[0.0, 0], [1, 0], [1, 1]])]
    with pytest.raises(ConditionError, match="0 for 1"):
        PolygonLayout([square], [], [None], 1.0)
    with pytest.raises(ConditionError, match="beyond"):
        PolygonLayout([square], [1], [None], 1.0)
