"""Point → grid and grid → point weights as sparse matrices, computed once a batch from coordinates only.

*splat* (default): every point is spread over its four nodes in proportion to bilinear weight times area; a node is the
weighted mean of what reached it. It is anti-aliased, a plain sum (so tiles of a canvas can be added in any order), and
unbiased under non-uniform density. Nodes that nothing reached take the three nearest points.
*knn*: every node is the inverse-square-distance mean of its three nearest points (∞-Diff, science of ∞-Brush).
Back to the points both use bilinear interpolation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from infbrush_wsi.points.grid import GridGeometry, linear_taps
from infbrush_wsi.points.nearest import nearest_points

NEAREST = 3
MINIMAL_SQUARED_DISTANCE = 1e-16


def bilinear_matrix(coords_yx: NDArray[np.floating], grid: GridGeometry) -> sparse.csr_array[Any]:
    """Grid → points: (N, nodes) float32, four entries a row that sum to one.

    Args:
        coords_yx: (N, 2) in training pixels.
        grid: node layout; nodes are numbered row-major.
    """
    iy, wy = linear_taps(coords_yx[:, 0], grid.pitch, grid.shape.h)
    ix, wx = linear_taps(coords_yx[:, 1], grid.pitch, grid.shape.w)
    columns, weights = np.empty((len(iy), 4), np.int32), np.empty((len(iy), 4), np.float32)
    for corner, (a, b) in enumerate(np.ndindex(2, 2)):  # by column: products over axes of length two are slow
        columns[:, corner] = iy[:, a] * grid.shape.w + ix[:, b]
        weights[:, corner] = wy[:, a] * wx[:, b]
    indptr = np.arange(0, 4 * len(iy) + 1, 4, dtype=np.int32)
    return sparse.csr_array((weights.ravel(), columns.ravel(), indptr), shape=(len(iy), grid.shape.count))


def splat_matrix(
    coords_yx: NDArray[np.floating], area: NDArray[np.floating], grid: GridGeometry
) -> sparse.csr_array[Any]:
    """Points → grid: (nodes, N) float32, area-weighted means; empty nodes filled from the nearest points.

    Args:
        coords_yx: (N, 2) in training pixels.
        area: (N,) area that each point stands for.
        grid: node layout.
    """
    spread = bilinear_matrix(coords_yx, grid)
    spread.data *= np.repeat(np.asarray(area, np.float32), 4)
    spread = spread.T.tocsr()
    spread.sum_duplicates()  # along an axis of one node both taps are that node
    total = np.asarray(spread.sum(axis=1)).ravel()
    empty = total < 1e-6 * area.mean()
    scale = np.where(empty, 0.0, 1.0 / np.where(empty, 1.0, total))
    data = spread.data * np.repeat(scale, np.diff(spread.indptr))
    matrix = sparse.csr_array((data, spread.indices, spread.indptr), shape=spread.shape)
    if empty.any():
        matrix = sparse.csr_array(matrix + nearest_matrix(coords_yx, grid, np.flatnonzero(empty)))
    matrix.eliminate_zeros()
    return matrix.astype(np.float32)


def nearest_matrix(
    coords_yx: NDArray[np.floating], grid: GridGeometry, nodes: NDArray[np.integer] | None = None
) -> sparse.csr_array[Any]:
    """Points → grid by the three nearest points, weights 1 / max(d², 1e-16), normalised.

    Ties in distance go to the point that comes first, so that tiles and whole images agree.

    Args:
        coords_yx: (N, 2) in training pixels.
        grid: node layout.
        nodes: which nodes to fill (others stay empty); None: all.
    """
    nodes = np.arange(grid.shape.count) if nodes is None else nodes
    where = (np.stack(np.divmod(nodes, grid.shape.w), 1) + 0.5) * grid.pitch
    squared, index = nearest_points(coords_yx, where, NEAREST)
    weight = 1.0 / np.maximum(squared, MINIMAL_SQUARED_DISTANCE)
    weight /= weight.sum(axis=1, keepdims=True)
    rows = np.repeat(nodes, index.shape[1])
    shape = (grid.shape.count, len(coords_yx))
    return sparse.csr_array((weight.ravel().astype(np.float32), (rows, index.ravel())), shape=shape)


def join_matrices(matrices: list[sparse.csr_array[Any]]) -> sparse.csr_array[Any]:
    """Block-diagonal matrix of the images of a batch, CSR, float32."""
    return matrices[0] if len(matrices) == 1 else sparse.csr_array(sparse.block_diag(matrices, format="csr"))
