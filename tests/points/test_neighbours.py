"""The neighbour map against a search over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.domain import Shape
from infbrush_wsi.points.neighbours import build_neighbours, join_neighbours
from infbrush_wsi.points.samplers import make_sampler
from tests.peak import forget_peak, peak_mib


def points(shape: Shape, count: int, seed: int, name: str = "uniform") -> np.ndarray:
    return make_sampler(name).draw(np.random.default_rng(seed), shape, count).index_yx


def triples(neighbours: object) -> set[tuple[int, int, int]]:
    m = neighbours
    rows = np.repeat(np.arange(len(m.indptr) - 1), m.degree)
    found = list(zip(rows.tolist(), m.indices.tolist(), m.taps.tolist(), strict=True))
    assert len(set(found)) == len(found)
    return set(found)


def brute_force(index: np.ndarray, k: int) -> set[tuple[int, int, int]]:
    offset = index[None, :, :].astype(int) - index[:, None, :] + k // 2
    i, j = np.nonzero(((offset >= 0) & (offset < k)).all(-1))
    return {(int(a), int(b), int(offset[a, b, 0] * k + offset[a, b, 1])) for a, b in zip(i, j, strict=True)}


@settings(max_examples=80, deadline=None)
@given(
    h=st.integers(1, 24),
    w=st.integers(1, 24),
    share=st.floats(0, 1),
    k=st.sampled_from([1, 3, 5, 7, 13]),
    seed=st.integers(0, 2**32),
)
def test_equals_all_pairs(h: int, w: int, share: float, k: int, seed: int) -> None:
    index = points(Shape(h, w), max(1, round(share * h * w)), seed)
    found = build_neighbours(index, k)
    assert triples(found) == brute_force(index, k)
    assert found.indptr.dtype == np.int64
    assert found.indices.dtype == np.int32


def test_pairs_of_a_point_are_in_tap_order_and_hold_itself() -> None:
    found = build_neighbours(points(Shape(64, 64), 2000, 0), 7)
    rows = np.repeat(np.arange(2000), found.degree)
    assert (np.diff(rows * 49 + found.taps.astype(int)) > 0).all()
    assert (found.indices[found.taps == 24] == np.arange(2000)).all()


def test_far_coordinates_do_not_overflow() -> None:
    near = points(Shape(40, 40), 200, 0)
    far = near + np.int32(2**31 - 100)
    np.testing.assert_array_equal(build_neighbours(near, 7).indices, build_neighbours(far, 7).indices)


def test_memory_does_not_depend_on_the_extent() -> None:
    build_neighbours(points(Shape(64, 64), 64, 0), 7)  # compile
    large = points(Shape(100_000, 100_000), 65_536, 1)
    forget_peak()
    before = peak_mib()
    found = build_neighbours(large, 7)
    assert peak_mib() - before < 32  # a table of the lattice would take 10 GB
    assert 65_536 <= len(found.indices) < 66_000


def test_joined_maps_are_block_diagonal() -> None:
    maps = [build_neighbours(points(Shape(20, 20), n, n), 5) for n in (100, 1, 57)]
    joined = join_neighbours(maps)
    expected, start = set(), 0
    for m in maps:
        expected |= {(i + start, j + start, tap) for i, j, tap in triples(m)}
        start += len(m.degree)
    assert triples(joined) == expected
    assert joined.kernel_size == 5
    assert joined.indptr[-1] == len(joined.indices) == len(joined.taps)


@pytest.mark.parametrize("k", [1, 7])
def test_all_pixels_have_all_neighbours(k: int) -> None:
    shape = Shape(15, 12)
    degree = build_neighbours(points(shape, shape.count, 0), k).degree.reshape(15, 12)
    rows, columns = (np.minimum(np.arange(n), k // 2) + np.minimum(np.arange(n)[::-1], k // 2) + 1 for n in (15, 12))
    np.testing.assert_array_equal(degree, rows[:, None] * columns)
