"""Points → grid → points inside the denoiser, for scattered points and for tiles of a full lattice."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infbrush_wsi.operators.partial import GridPartial, GridWindow
from infbrush_wsi.operators.sparse_product import sparse_product
from infbrush_wsi.points.support import LatticeSupport, ScatterSupport, Support
from infbrush_wsi.points.transfer import MINIMAL_SQUARED_DISTANCE, NEAREST

Transfer = Literal["splat", "knn"]
Indices = NDArray[np.integer]

NEAREST_REACH = 2
"""How far from the pixel that holds a node its three nearest pixels can be: a tile needs that much more halo."""


def points_to_grid(h: Tensor, support: Support, transfer: Transfer) -> GridPartial:
    """This tile's part of the grid: area-weighted splat, or three nearest points.

    Args:
        h: (B, N, C) point features.
        support: where they live. A scattered support brings its own weights, made for the same `transfer`.
        transfer: 'splat' or 'knn'.
    """
    if isinstance(support, ScatterSupport):
        return _from_scattered(h, support)
    return _splat_tile(h, support) if transfer == "splat" else _nearest_tile(h, support)


def grid_to_points(grid: Tensor | GridWindow, support: Support) -> Tensor:
    """Bilinear interpolation, nodes at cell centres, constant beyond the outermost nodes.

    Args:
        grid: (B, C, rows, columns); for a tile, a window of it with the nodes that the tile touches is enough.
        support: where to read it.

    Returns:
        (B, N, C).
    """
    first = (0, 0)
    if isinstance(grid, GridWindow):
        first, grid = grid.origin, grid.values
    nodes = grid.permute(0, 2, 3, 1)
    if isinstance(support, ScatterSupport):
        flat = sparse_product(support.to_points, nodes.reshape(-1, grid.shape[1]))
        return flat.reshape(support.batch, -1, grid.shape[1]).to(grid.dtype)
    y, x = support.axis_weights
    row, column = y.first - first[0], x.first - first[1]
    part = nodes[:, row : row + y.interpolate.shape[1], column : column + x.interpolate.shape[1]]
    rows = torch.einsum("ha,bawc->bhwc", y.interpolate.to(grid.dtype), part)
    return torch.einsum("wa,bhac->bhwc", x.interpolate.to(grid.dtype), rows).flatten(1, 2)


def _from_scattered(h: Tensor, support: ScatterSupport) -> GridPartial:
    grid = sparse_product(support.to_grid, h.reshape(-1, h.shape[-1]))
    shape = support.grid.shape
    numerator = grid.reshape(support.batch, shape.h, shape.w, -1).permute(0, 3, 1, 2)
    return GridPartial(numerator, torch.ones_like(numerator[:1, :1]), (0, 0), shape.as_tuple())


def _splat_tile(h: Tensor, support: LatticeSupport) -> GridPartial:
    y, x = support.axis_weights
    pixels = h.float().reshape(h.shape[0], support.box.h, support.box.w, -1)
    with torch.autocast(pixels.device.type, enabled=False):  # a sum over all pixels of the image
        rows = torch.einsum("ah,bhwc->bawc", y.spread, pixels)
        numerator = torch.einsum("xw,bawc->baxc", x.spread, rows).permute(0, 3, 1, 2)
    denominator = (y.spread.sum(1)[:, None] * x.spread.sum(1)[None, :])[None, None]
    return GridPartial(numerator, denominator, (y.first, x.first), support.grid.shape.as_tuple())


def _nearest_tile(h: Tensor, support: LatticeSupport) -> GridPartial:
    """Nodes whose position lies in the owned part take their three nearest pixels (ties: first in row-major order)."""
    rows, columns, index, weight = _nearest_weights(support)
    values = (h.float()[:, index] * weight[None, :, :, None]).sum(2)
    numerator = values.reshape(h.shape[0], len(rows), len(columns), h.shape[-1]).permute(0, 3, 1, 2)
    denominator = torch.ones_like(numerator[:1, :1])
    origin = (int(rows[0]) if len(rows) else 0, int(columns[0]) if len(columns) else 0)
    return GridPartial(numerator, denominator, origin, support.grid.shape.as_tuple())


@lru_cache(maxsize=256)
def _nearest_weights(support: LatticeSupport) -> tuple[Indices, Indices, Tensor, Tensor]:
    """Owned rows and columns of nodes with the pixels that they take; the same in every step of a sampler."""
    rows, columns = _owned_nodes(support)
    index, weight = _nearest_pixels(support, rows, columns)
    return rows, columns, torch.from_numpy(index).to(support.device), torch.from_numpy(weight).to(support.device)


def _owned_nodes(support: LatticeSupport) -> tuple[Indices, Indices]:
    """Rows and columns of the nodes whose nearest pixel this tile owns; beyond the image, its border pixel."""
    found = []
    own = support.owned
    for start, length, limit, nodes in (
        (own.y0, own.h, support.image.h, support.grid.shape.h),
        (own.x0, own.w, support.image.w, support.grid.shape.w),
    ):
        pixel = np.floor((np.arange(nodes) + 0.5) * support.grid.pitch * support.ratio).clip(0, limit - 1)
        found.append(np.flatnonzero((pixel >= start) & (pixel < start + length)))
    return found[0], found[1]


def _nearest_pixels(support: LatticeSupport, rows: Indices, columns: Indices) -> tuple[Indices, NDArray[np.float32]]:
    """Token index (nodes, 3) in the tile and weight (nodes, 3) of the nearest pixels of each node."""
    box = support.box
    offsets = np.arange(-NEAREST_REACH, NEAREST_REACH + 1)
    axis_pixels, axis_squared = [], []
    for nodes, limit in ((rows, support.image.h), (columns, support.image.w)):
        at = (nodes + 0.5) * support.grid.pitch * support.ratio
        pixel = np.floor(at).clip(0, limit - 1).astype(np.int64)[:, None] + offsets
        outside = (pixel < 0) | (pixel >= limit)
        axis_squared.append(np.where(outside, np.inf, ((pixel + 0.5 - at[:, None]) / support.ratio) ** 2))
        axis_pixels.append(pixel)
    squared = (axis_squared[0][:, None, :, None] + axis_squared[1][None, :, None, :]).reshape(-1, offsets.size**2)
    y = axis_pixels[0][:, None, :, None] - box.y0
    x = axis_pixels[1][None, :, None, :] - box.x0
    token = np.broadcast_to(y * box.w + x, (len(rows), len(columns), offsets.size, offsets.size)).reshape(squared.shape)
    order = np.lexsort((token, np.round(squared, 9)), axis=1)[:, :NEAREST]
    weight = 1.0 / np.maximum(np.round(np.take_along_axis(squared, order, 1), 9), MINIMAL_SQUARED_DISTANCE)
    weight = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    return np.take_along_axis(token, order, 1), weight
