"""The search for the nearest points equals a look at all distances, whatever the points look like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from infbrush_wsi.points.nearest import _in_bands, nearest_points

Points = NDArray[np.float64]


def look_at_all(coords: Points, where: Points, count: int) -> tuple[Points, NDArray[np.int64]]:
    """All (M, N) squared distances, rounded; ties in order of the index."""
    squared = np.round(((coords[None] - where[:, None]) ** 2).sum(2), 9)
    index = np.argsort(squared, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(squared, index, 1), index


def check(coords: Points, where: Points, count: int = 3) -> None:
    squared, index = nearest_points(coords, where, count)
    expected_squared, expected_index = look_at_all(coords, where, count)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_array_equal(squared, expected_squared)
    assert squared.dtype == np.float64
    assert index.dtype == np.int64


def lattice_nodes(height: int, width: int, pitch: float) -> Points:
    """(M, 2) nodes at the centres of cells of that pitch, over the extent and two cells beyond it."""
    y, x = (np.arange(-2, side // pitch + 3) + 0.5 for side in (height, width))
    return np.stack(np.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2) * pitch


@settings(max_examples=150, deadline=None)
@given(
    h=st.integers(1, 40),
    w=st.integers(1, 40),
    points=st.integers(1, 300),
    pitch=st.sampled_from([1.0, 2.0, 3.7, 4.0, 11.0]),
    count=st.integers(1, 5),
    row_major=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_lattice_points_with_ties_and_duplicates(
    h: int, w: int, points: int, pitch: float, count: int, row_major: bool, seed: int
) -> None:
    """Nodes on the corners of pixels are as far from four of them; up to 300 points of one pixel are all the same."""
    rng = np.random.default_rng(seed)
    coords = rng.integers([h, w], size=(points, 2)) + 0.5
    if row_major:  # as draws are: distinct, so that they need not be put in order
        coords = np.unique(coords, axis=0)
    check(coords, lattice_nodes(h, w, pitch), count)


@settings(max_examples=100, deadline=None)
@given(
    points=st.integers(1, 400),
    clusters=st.integers(1, 5),
    spread=st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 1e4]),
    scale=st.sampled_from([1e-3, 1.0, 1e5, 1e9]),
    flat=st.sampled_from([(1, 1), (0, 1), (1, 0)]),
    seed=st.integers(0, 2**32),
)
def test_clusters_lines_and_far_places(
    points: int, clusters: int, spread: float, scale: float, flat: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-scale, scale, (clusters, 2))
    coords = (centres[rng.integers(clusters, size=points)] + spread * rng.normal(size=(points, 2))) * flat
    anywhere = rng.uniform(-3 * scale, 3 * scale, (50, 2))
    check(coords, np.concatenate([anywhere, coords[:20], centres, [[1e12, -1e12]]]))


@pytest.mark.parametrize("points", [1, 2, 3, 4])
def test_fewer_points_than_asked_for(points: int) -> None:
    coords = np.array([[5.0, 1.0], [0.0, 0.0], [5.0, 1.0], [9.0, 9.0]])[:points]
    squared, index = nearest_points(coords, np.array([[4.0, 1.0], [100.0, 100.0]]), 3)
    assert squared.shape == index.shape == (2, min(points, 3))
    check(coords, np.array([[4.0, 1.0], [100.0, 100.0], [0.0, 0.0]]))


def test_ties_cross_bands_and_go_to_the_first_point() -> None:
    """Of a ring of 36 points as far from its centre, in any order, those with the lowest indices are taken."""
    ring = np.array([(a, b) for a in range(-65, 66) for b in range(-65, 66) if a * a + b * b == 65 * 65], float)
    assert len(ring) == 36
    rng = np.random.default_rng(0)
    for _ in range(20):
        _, index = nearest_points(ring[rng.permutation(36)], np.zeros((1, 2)), 3)
        np.testing.assert_array_equal(index, [[0, 1, 2]])


def test_distances_that_differ_by_rounding_tie() -> None:
    coords = np.array([[0.0, 1.0 + 1e-11], [0.0, -1.0], [1.0 + 1e-6, 0.0], [-1.0 - 1e-11, 0.0]])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        squared, index = nearest_points(coords[order], np.zeros((1, 2)), 3)
        np.testing.assert_array_equal(np.array(order)[index[0]], [i for i in order if i != 2])
        np.testing.assert_array_equal(squared, 1.0)


@pytest.mark.parametrize("kind", ["one place", "two places", "one corner", "row", "column", "diagonal"])
def test_many_points_in_odd_places(kind: str) -> None:
    """30,000 points; a few nodes of a large extent against all distances."""
    n = 30_000
    run = np.arange(n)
    coords = {
        "one place": np.full((n, 2), 7.5),
        "two places": np.repeat([[99_999.5, 3.5], [2.5, 70_000.5]], n // 2, axis=0),
        "one corner": np.stack(np.divmod(run, 173), 1) + 0.5,
        "row": np.stack([np.full(n, 50_000.5), run + 0.5], 1),
        "column": np.stack([run + 0.5, np.full(n, 50_000.5)], 1),
        "diagonal": np.stack([run + 0.5, run + 0.5], 1),
    }[kind]
    check(coords, lattice_nodes(100_000, 100_000, 17_000.0))


@pytest.mark.parametrize("copies", [1, 2, 3, 50])
def test_only_as_many_copies_of_a_point_are_kept_as_can_be_taken(copies: int) -> None:
    """Else places and copies would be compared one by one: a thousand million times for a grid and a large batch."""
    coords = np.repeat([[1.5, 1.5], [1.5, 2.5], [8.5, 0.5]], copies, axis=0)
    order, _ = _in_bands(coords, 3)
    kept = [copies * place + copy for place in range(3) for copy in range(min(copies, 3))]
    np.testing.assert_array_equal(np.sort(order), kept)


def test_inputs_that_cannot_be_searched_are_named() -> None:
    place = np.zeros((1, 2))
    with pytest.raises(ValueError, match="no points"):
        nearest_points(np.empty((0, 2)), place, 3)
    with pytest.raises(ValueError, match="finite"):
        nearest_points(np.array([[0.0, np.nan]]), place, 3)
    with pytest.raises(ValueError, match="finite"):
        nearest_points(place, np.array([[np.inf, 0.0]]), 3)


def test_no_places_have_no_nearest_points() -> None:
    squared, index = nearest_points(np.zeros((5, 2)), np.empty((0, 2)), 3)
    assert squared.shape == index.shape == (0, 3)
