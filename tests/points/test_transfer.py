"""Points → grid → points on scattered points: exact means, constants, linear functions, nearest points with ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.domain import Shape
from infbrush_wsi.points.draw import Draw
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.samplers import make_sampler
from infbrush_wsi.points.transfer import bilinear_matrix, join_matrices, nearest_matrix, splat_matrix


def drawn(shape: Shape, points: int, seed: int, name: str = "mixed", **options: float) -> tuple[Draw, np.ndarray]:
    draw = make_sampler(name, **options).draw(np.random.default_rng(seed), shape, points)
    return draw, draw.index_yx + 0.5


def tent(coordinate: float, node: int, pitch: float, nodes: int) -> float:
    """Bilinear weight along one axis, constant beyond the outermost nodes, written out for one point and node."""
    g = min(max(coordinate / pitch - 0.5, 0.0), nodes - 1.0)
    return max(0.0, 1.0 - abs(g - node))


def slow_splat(coords: np.ndarray, area: np.ndarray, grid: GridGeometry, f: np.ndarray) -> np.ndarray:
    out = np.full(grid.shape.as_tuple(), np.nan)
    for a in range(grid.shape.h):
        for b in range(grid.shape.w):
            w = np.array(
                [
                    s * tent(y, a, grid.pitch, grid.shape.h) * tent(x, b, grid.pitch, grid.shape.w)
                    for (y, x), s in zip(coords, area, strict=True)
                ]
            )
            if w.sum() > 1e-6 * area.mean():
                out[a, b] = (w * f).sum() / w.sum()
    return out


cases = given(
    h=st.integers(3, 40),
    w=st.integers(3, 40),
    share=st.floats(0.01, 1),
    pitch=st.sampled_from([1.0, 2.0, 3.7, 4.0, 50.0]),
    seed=st.integers(0, 2**32),
)


@settings(max_examples=60, deadline=None)
@cases
def test_rows_sum_to_one(h: int, w: int, share: float, pitch: float, seed: int) -> None:
    draw, coords = drawn(Shape(h, w), max(1, round(share * h * w)), seed)
    grid = GridGeometry.covering(h, w, pitch)
    for matrix in (bilinear_matrix(coords, grid), splat_matrix(coords, draw.area, grid), nearest_matrix(coords, grid)):
        np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=2e-6)
        assert matrix.dtype == np.float32
        assert matrix.data.min() >= 0
    assert bilinear_matrix(coords, grid).shape == (draw.count, grid.shape.count)
    assert splat_matrix(coords, draw.area, grid).shape == (grid.shape.count, draw.count)


@pytest.mark.parametrize("transfer", ["splat", "knn"])
def test_constants_survive_there_and_back(transfer: str) -> None:
    draw, coords = drawn(Shape(61, 45), 300, 0)
    grid = GridGeometry.covering(61, 45, 3.3)
    to_grid = splat_matrix(coords, draw.area, grid) if transfer == "splat" else nearest_matrix(coords, grid)
    back = bilinear_matrix(coords, grid) @ (to_grid @ np.full(300, 2.5, np.float32))
    np.testing.assert_allclose(back, 2.5, rtol=2e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), pitch=st.sampled_from([2.0, 3.7, 9.0, 40.0]))
def test_splat_is_the_area_weighted_mean(seed: int, pitch: float) -> None:
    shape = Shape(17, 23)
    draw, coords = drawn(shape, 150, seed, window=5)
    grid = GridGeometry.covering(17, 23, pitch)
    f = np.random.default_rng(seed).normal(size=150)
    fast = (splat_matrix(coords, draw.area, grid) @ f).reshape(grid.shape.as_tuple())
    slow = slow_splat(coords, draw.area.astype(float), grid, f)
    reached = np.isfinite(slow)
    np.testing.assert_allclose(fast[reached], slow[reached], rtol=1e-5, atol=1e-5)


def test_splat_fills_nodes_that_nothing_reached_from_the_nearest_points() -> None:
    coords = np.array([[0.5, 0.5], [0.5, 3.5], [6.5, 1.5], [7.5, 2.5]])
    grid = GridGeometry.covering(64, 64, 4.0)
    f = np.array([1.0, 2.0, 3.0, 4.0])
    slow = slow_splat(coords, np.ones(4), grid, f)
    empty = np.isnan(slow)
    assert empty.sum() > 200
    values = (splat_matrix(coords, np.ones(4), grid) @ f).reshape(16, 16)
    nearest = (nearest_matrix(coords, grid) @ f).reshape(16, 16)
    np.testing.assert_allclose(values[empty], nearest[empty], rtol=1e-6)
    np.testing.assert_allclose(values[~empty], slow[~empty], rtol=1e-6)


def test_splat_is_unbiased_where_the_density_is_not_uniform() -> None:
    """Each node's numerator and denominator are sums over area: on average those of all pixels."""
    shape, pitch = Shape(48, 48), 6.0
    grid = GridGeometry.covering(48, 48, pitch)
    y, x = np.mgrid[:48, :48]
    f = (np.sin(0.4 * y) + 0.05 * x).ravel()
    everything, coords = drawn(shape, shape.count, 0, "uniform")
    whole = bilinear_matrix(coords, grid).T @ np.stack([f, np.ones_like(f)], 1)
    sums = np.empty((600, grid.shape.count, 2))
    for k in range(len(sums)):
        draw, coords = drawn(shape, 500, k, "mixed", window=8)
        at = f[draw.index_yx[:, 0] * 48 + draw.index_yx[:, 1]]
        spread = bilinear_matrix(coords, grid).T @ (draw.area[:, None] * np.stack([at, np.ones_like(at)], 1))
        sums[k] = spread
        np.testing.assert_allclose(
            splat_matrix(coords, draw.area, grid) @ at, spread[:, 0] / spread[:, 1], rtol=1e-4, atol=1e-4
        )
    error = sums.std(axis=0, ddof=1) / np.sqrt(len(sums))
    # Given the number of dense points an area is exact on average, so the sums are too.
    assert (np.abs(sums.mean(axis=0) - whole) < 4.5 * error).all()
    assert everything.count == 2304


def test_ignoring_area_would_be_seen() -> None:
    """The dense windows of a mixed draw pull an unweighted mean towards them."""
    shape, grid = Shape(64, 64), GridGeometry.covering(64, 64, 32.0)
    draw, coords = drawn(shape, 900, 3, window=16)
    dense = (draw.area == 1.0).astype(float)
    weighted = splat_matrix(coords, draw.area, grid) @ dense
    plain = splat_matrix(coords, np.ones_like(draw.area), grid) @ dense
    assert plain.mean() > 2 * weighted.mean()
    assert weighted.mean() == pytest.approx(dense.sum() / shape.count, abs=0.03)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), pitch=st.sampled_from([2.0, 3.7, 8.0]))
def test_linear_functions_survive_interpolation_inside(seed: int, pitch: float) -> None:
    _, coords = drawn(Shape(40, 50), 200, seed)
    grid = GridGeometry.covering(40, 50, pitch)
    y, x = (np.arange(grid.shape.h) + 0.5) * pitch, (np.arange(grid.shape.w) + 0.5) * pitch
    nodes = (2.0 * y[:, None] - 0.7 * x + 3).ravel()
    inside = ((coords >= [y[0], x[0]]) & (coords <= [y[-1], x[-1]])).all(1)
    assert inside.sum() > 50
    expected = 2.0 * coords[:, 0] - 0.7 * coords[:, 1] + 3
    np.testing.assert_allclose((bilinear_matrix(coords, grid) @ nodes)[inside], expected[inside], atol=2e-5)


def slow_nearest(coords: np.ndarray, grid: GridGeometry) -> np.ndarray:
    """Dense (nodes, N) weights from all distances, ties by index."""
    out = np.zeros((grid.shape.count, len(coords)))
    for node in range(grid.shape.count):
        where = (np.array(divmod(node, grid.shape.w)) + 0.5) * grid.pitch
        squared = np.round(((coords - where) ** 2).sum(1), 9)
        chosen = np.lexsort((np.arange(len(coords)), squared))[:3]
        weight = 1 / np.maximum(squared[chosen], 1e-16)
        out[node, chosen] = weight / weight.sum()
    return out


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), points=st.integers(1, 200), pitch=st.sampled_from([1.0, 2.0, 3.7, 4.0, 7.0]))
def test_nearest_points_equal_a_search_over_all(seed: int, points: int, pitch: float) -> None:
    _, coords = drawn(Shape(14, 18), points, seed)
    grid = GridGeometry.covering(14, 18, pitch)
    np.testing.assert_allclose(nearest_matrix(coords, grid).toarray(), slow_nearest(coords, grid), rtol=1e-6)


def test_any_number_of_ties_goes_to_the_first_points() -> None:
    """Twelve lattice points lie at distance five: more than a search for the nearest eight returns."""
    offsets = [(a, b) for a in range(-5, 6) for b in range(-5, 6) if a * a + b * b == 25]
    assert len(offsets) == 12
    coords = np.array(offsets) + 20.0
    grid = GridGeometry(Shape(1, 1), 40.0)
    rng = np.random.default_rng(0)
    for _ in range(20):
        some = coords[rng.permutation(12)]
        np.testing.assert_array_equal(np.flatnonzero(nearest_matrix(some, grid).toarray()[0]), [0, 1, 2])


def test_point_on_a_node_is_taken_alone() -> None:
    _, coords = drawn(Shape(12, 12), 144, 0, "uniform")
    grid = GridGeometry.covering(12, 12, 3.0)  # nodes at 1.5, 4.5, ...: on pixel centres
    values = np.random.default_rng(0).normal(size=144).astype(np.float32)
    np.testing.assert_allclose(nearest_matrix(coords, grid) @ values, values.reshape(12, 12)[1::3, 1::3].ravel())


def test_joined_matrices_are_block_diagonal() -> None:
    grid = GridGeometry.covering(16, 16, 4.0)
    draws = [drawn(Shape(16, 16), 50, seed) for seed in range(3)]
    parts = [splat_matrix(coords, draw.area, grid) for draw, coords in draws]
    joined = join_matrices(parts).toarray()
    assert joined.shape == (48, 150)
    for i in range(3):
        for j in range(3):
            block = joined[16 * i : 16 * i + 16, 50 * j : 50 * j + 50]
            np.testing.assert_array_equal(block, parts[i].toarray() if i == j else 0)


@pytest.mark.parametrize(
    ("side", "pitch", "nodes"), [(4096, 32.0, 128), (128, 4.0, 32), (129, 4.0, 33), (3, 10.0, 1), (0.3 * 3, 0.3, 3)]
)
def test_grid_covers_the_extent(side: float, pitch: float, nodes: int) -> None:
    assert GridGeometry.covering(side, 2 * side, pitch).shape.h == nodes
