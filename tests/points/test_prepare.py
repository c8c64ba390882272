"""The support of a batch: what the layers get is what the single maps say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from torch import Tensor

from infbrush_wsi.domain import Shape
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.neighbours import build_neighbours
from infbrush_wsi.points.prepare import Layout, scatter_support
from infbrush_wsi.points.samplers import make_sampler
from infbrush_wsi.points.support import SparseMatrix
from infbrush_wsi.points.transfer import bilinear_matrix, nearest_matrix, splat_matrix

SHAPE = Shape(40, 28)


def dense(matrix: SparseMatrix) -> np.ndarray:
    return csr(matrix.data, matrix.indices, matrix.indptr, len(matrix.t_indptr) - 1)


def csr(data: Tensor, indices: Tensor, indptr: Tensor, columns: int) -> np.ndarray:
    parts = (data.numpy(), indices.numpy(), indptr.numpy())
    return sparse.csr_array(parts, shape=(len(indptr) - 1, columns)).toarray()


@pytest.mark.parametrize("transfer", ["splat", "knn"])
def test_support_of_a_batch(transfer: str) -> None:
    draws = [make_sampler("mixed", window=6).draw(np.random.default_rng(s), SHAPE, 200) for s in (0, 1)]
    support = scatter_support(draws, SHAPE, Layout(5, 3.5, transfer))
    grid = GridGeometry.covering(40, 28, 3.5)
    assert support.grid == grid
    assert support.batch == 2
    assert support.extent == (40.0, 28.0)
    assert support.ratio == 1.0
    nodes = grid.shape.count
    for b, draw in enumerate(draws):
        coords = draw.index_yx + 0.5
        np.testing.assert_array_equal(support.coords[b].numpy(), coords.astype(np.float32))
        np.testing.assert_array_equal(support.area[b].numpy(), draw.area)
        wanted = splat_matrix(coords, draw.area, grid) if transfer == "splat" else nearest_matrix(coords, grid)
        block = dense(support.to_grid)[b * nodes : (b + 1) * nodes, b * 200 : (b + 1) * 200]
        np.testing.assert_array_equal(block, wanted.toarray())
        block = dense(support.to_points)[b * 200 : (b + 1) * 200, b * nodes : (b + 1) * nodes]
        np.testing.assert_array_equal(block, bilinear_matrix(coords, grid).toarray())
        pairs = support.neighbours.indptr.diff()[b * 200 : (b + 1) * 200].numpy()
        np.testing.assert_array_equal(pairs, build_neighbours(draw.index_yx, 5).degree)
    assert not dense(support.to_grid)[:nodes, 200:].any()


def test_transpose_is_the_transpose() -> None:
    draw = make_sampler("mixed").draw(np.random.default_rng(0), SHAPE, 300)
    matrix = scatter_support([draw], SHAPE, Layout(7, 4.0, "splat")).to_grid
    transposed = csr(matrix.t_data, matrix.t_indices, matrix.t_indptr, matrix.rows)
    np.testing.assert_array_equal(transposed, dense(matrix).T)


def test_moving_keeps_all_parts() -> None:
    draw = make_sampler("mixed").draw(np.random.default_rng(0), SHAPE, 30)
    support = scatter_support([draw], SHAPE, Layout(7, 4.0, "splat"))
    moved = support.to("meta")
    assert moved.coords.is_meta
    assert moved.neighbours.taps.is_meta
    assert moved.to_grid.t_data.is_meta
    assert (moved.grid, moved.extent, moved.neighbours.kernel_size) == (support.grid, support.extent, 7)


@pytest.mark.parametrize("transfer", ["splat", "knn"])
def test_a_window_can_lie_anywhere_on_a_given_grid(transfer: str) -> None:
    """As the frames of a plan do, whose first grid cell begins before their first pixel."""
    draw = make_sampler("mixed", window=6).draw(np.random.default_rng(0), SHAPE, 200)
    grid, offset = GridGeometry(Shape(12, 9), 3.5), (1.25, 0.5)
    support = scatter_support([draw], SHAPE, Layout(5, 3.5, transfer), grid=grid, offset_yx=offset)
    coords = draw.index_yx + 0.5 + np.asarray(offset)
    assert support.grid == grid
    np.testing.assert_array_equal(support.coords[0].numpy(), coords.astype(np.float32))
    wanted = splat_matrix(coords, draw.area, grid) if transfer == "splat" else nearest_matrix(coords, grid)
    np.testing.assert_array_equal(dense(support.to_grid), wanted.toarray())
    np.testing.assert_array_equal(dense(support.to_points), bilinear_matrix(coords, grid).toarray())
    plain = scatter_support([draw], SHAPE, Layout(5, 3.5, transfer))
    for name in ("indptr", "indices", "taps"):
        assert getattr(support.neighbours, name).equal(getattr(plain.neighbours, name))
