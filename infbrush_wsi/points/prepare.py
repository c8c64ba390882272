"""Everything about a batch that depends on coordinates only, computed once: neighbours, grid weights, area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from infbrush_wsi.domain import Shape
from infbrush_wsi.points.draw import Draw
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.neighbours import build_neighbours, join_neighbours
from infbrush_wsi.points.support import Neighbours, ScatterSupport, SparseMatrix
from infbrush_wsi.points.transfer import bilinear_matrix, join_matrices, nearest_matrix, splat_matrix


@dataclass(frozen=True)
class Layout:
    """What the model asks of the maps.

    Attributes:
        kernel_size: of the sparse convolution.
        grid_pitch: side of a grid cell in training pixels.
        transfer: 'splat' or 'knn'.
    """

    kernel_size: int
    grid_pitch: float
    transfer: str


def scatter_support(
    draws: Sequence[Draw],
    shape: Shape,
    layout: Layout,
    *,
    grid: GridGeometry | None = None,
    offset_yx: tuple[float, float] = (0.0, 0.0),
) -> ScatterSupport:
    """The support of a batch of draws from windows of the same shape and the same number of points.

    Args:
        draws: one for each image.
        shape: rows and columns of the training window.
        layout: of the model.
        grid: nodes; None: as many as cover the window.
        offset_yx: of the window's corner from the corner of the first grid cell, in pixels.
    """
    grid = grid or GridGeometry.covering(shape.h, shape.w, layout.grid_pitch)
    coords = [draw.index_yx + 0.5 + np.asarray(offset_yx) for draw in draws]
    maps = join_neighbours([build_neighbours(draw.index_yx, layout.kernel_size) for draw in draws])
    if layout.transfer == "splat":
        to_grid = [splat_matrix(c, draw.area, grid) for c, draw in zip(coords, draws, strict=True)]
    else:
        to_grid = [nearest_matrix(c, grid) for c in coords]
    neighbours = Neighbours(
        torch.from_numpy(maps.indptr), torch.from_numpy(maps.indices), torch.from_numpy(maps.taps), maps.kernel_size
    )
    return ScatterSupport(
        coords=torch.from_numpy(np.stack(coords)).float(),
        area=torch.from_numpy(np.stack([draw.area for draw in draws])),
        neighbours=neighbours,
        to_grid=SparseMatrix.from_scipy(join_matrices(to_grid)),
        to_points=SparseMatrix.from_scipy(join_matrices([bilinear_matrix(c, grid) for c in coords])),
        grid=grid,
        extent=(float(shape.h), float(shape.w)),
    )
