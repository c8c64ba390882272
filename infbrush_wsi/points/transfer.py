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
from scipy.spatial import cKDTree

from infbrush_wsi.points.grid import GridGeometry, linear_taps

NEAREST = 3
TIE_CANDIDATES = 8
MINIMAL_SQUARED_DISTANCE = 1e-16


def bilinear_matrix(coords_yx: NDArray[np.floating], grid: GridGeometry) -> sparse.csr_array[Any]:
    """Grid → points: (N, nodes) float32, four entries a row that sum to one.

    Args:
        coords_yx: (N, 2) in training pixels.
        grid: node layout; nodes are numbered row-major.
    """
    iy, wy = linear_taps(coords_yx[:, 0], grid.pitch, grid.shape.h)
    ix, wx = linear_taps(coords_yx[:, 1], grid.pitch, grid.shape.w)
    columns = (iy[:, :, None] * grid.shape.w + ix[:, None, :]).reshape(-1)
    weights = (wy[:, :, None] * wx[:, None, :]).reshape(-1).astype(np.float32)
    indptr = np.arange(0, 4 * len(coords_yx) + 1, 4)
    return sparse.csr_array((weights, columns, indptr), shape=(len(coords_yx), grid.shape.count))


def splat_matrix(
    coords_yx: NDArray[np.floating], area: NDArray[np.floating], grid: GridGeometry
) -> sparse.csr_array[Any]:
    """Points → grid: (nodes, N) float32, area-weighted means; empty nodes filled from the nearest points.

    Args:
        coords_yx: (N, 2) in training pixels.
        area: (N,) area that each point stands for.
        grid: node layout.
    """
    to_points = bilinear_matrix(coords_yx, grid)
    spread = sparse.csr_array((to_points * np.asarray(area, np.float32)[:, None]).T)
    total = np.asarray(spread.sum(axis=1)).ravel()
    empty = total < 1e-6 * area.mean()
    scale = np.where(empty, 0.0, 1.0 / np.where(empty, 1.0, total))
    matrix = sparse.csr_array(spread * scale[:, None])
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
    squared, index = _nearest(coords_yx, where)
    weight = 1.0 / np.maximum(squared, MINIMAL_SQUARED_DISTANCE)
    weight /= weight.sum(axis=1, keepdims=True)
    rows = np.repeat(nodes, index.shape[1])
    shape = (grid.shape.count, len(coords_yx))
    return sparse.csr_array((weight.ravel().astype(np.float32), (rows, index.ravel())), shape=shape)


def _nearest(
    coords_yx: NDArray[np.floating], where: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    """Squared distances and indices, (M, 3), of the nearest points; ties in order of the index.

    The tree breaks ties as it likes, so it is asked for more and more until nothing beyond can tie with the third.
    """
    tree = cKDTree(coords_yx)
    wanted, candidates = min(NEAREST, len(coords_yx)), TIE_CANDIDATES
    while True:
        candidates = min(candidates, len(coords_yx))
        distance, index = tree.query(where, k=range(1, candidates + 1))
        squared = np.round(distance**2, 9)
        order = np.lexsort((index, squared), axis=1)
        squared, index = np.take_along_axis(squared, order, 1), np.take_along_axis(index, order, 1)
        if candidates == len(coords_yx) or (squared[:, wanted - 1] < squared[:, -1]).all():
            return squared[:, :wanted], index[:, :wanted]
        candidates *= 2


def join_matrices(matrices: list[sparse.csr_array[Any]]) -> sparse.csr_array[Any]:
    """Block-diagonal matrix of the images of a batch, CSR, float32."""
    return matrices[0] if len(matrices) == 1 else sparse.csr_array(sparse.block_diag(matrices, format="csr"))
