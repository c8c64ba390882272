"""Where the values of a batch live: scattered points (training) or all pixels of a tile (rendering).

The denoiser's layers work on tokens (B, N, C) and ask the *support* for neighbours, grid weights and coordinates, so
that one set of weights serves both. Lengths are in training pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from infbrush_wsi.domain import Box, Shape, centres
from infbrush_wsi.points.grid import GridGeometry, linear_taps


@dataclass(frozen=True)
class SparseMatrix:
    """A CSR matrix and its transpose, as tensors; all that a product and its gradient need."""

    indptr: Tensor
    indices: Tensor
    data: Tensor
    t_indptr: Tensor
    t_indices: Tensor
    t_data: Tensor

    @classmethod
    def from_scipy(cls, matrix: Any) -> SparseMatrix:
        """From a scipy CSR array of float32."""
        transposed = matrix.T.tocsr()
        parts = []
        for m in (matrix, transposed):
            parts += [m.indptr.astype(np.int64), m.indices.astype(np.int32), m.data]
        return cls(*(torch.from_numpy(np.ascontiguousarray(p)) for p in parts))

    @property
    def rows(self) -> int:
        """Number of output rows."""
        return len(self.indptr) - 1

    def to(self, device: torch.device | str) -> SparseMatrix:
        """The same on another device."""
        return _moved(self, device)


@dataclass(frozen=True)
class Neighbours:
    """`points.neighbours.NeighbourMap` as tensors, over the concatenated points of a batch."""

    indptr: Tensor
    indices: Tensor
    taps: Tensor
    kernel_size: int

    def to(self, device: torch.device | str) -> Neighbours:
        """The same on another device."""
        return _moved(self, device)


@dataclass(frozen=True)
class ScatterSupport:
    """Scattered lattice points of B images with their maps.

    Attributes:
        coords: (B, N, 2) float32, (y, x) of the pixel centres in training pixels.
        area: (B, N) float32, area in pixels that each point stands for.
        neighbours: pairs within the kernel, over the B * N concatenated points.
        to_grid: (B * nodes, B * N) points → grid.
        to_points: (B * N, B * nodes) grid → points, bilinear.
        grid: node layout, the same for all images.
        extent: (height, width) of the image in training pixels.
    """

    coords: Tensor
    area: Tensor
    neighbours: Neighbours
    to_grid: SparseMatrix
    to_points: SparseMatrix
    grid: GridGeometry
    extent: tuple[float, float]
    ratio: float = 1.0

    @property
    def batch(self) -> int:
        """Number of images."""
        return int(self.coords.shape[0])

    def to(self, device: torch.device | str) -> ScatterSupport:
        """The same on another device."""
        return _moved(self, device)


@dataclass(frozen=True)
class LatticeSupport:
    """All pixels of a tile of a regular lattice, halo included.

    Attributes:
        box: the tile with its halo, clipped to the image.
        owned: the part of it that this tile contributes to global sums (no halo).
        image: rows and columns of the whole lattice.
        ratio: pixels of this lattice per training pixel (2 = twice the training resolution).
        grid: node layout of the whole image.
        batch: number of images that share the tile (2 under classifier-free guidance).
        device: where tensors are made.
    """

    box: Box
    owned: Box
    image: Shape
    ratio: float
    grid: GridGeometry
    batch: int = 1
    device: torch.device | str = "cpu"

    @property
    def extent(self) -> tuple[float, float]:
        """(height, width) of the image in training pixels."""
        return self.image.h / self.ratio, self.image.w / self.ratio

    @cached_property
    def axes(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Coordinates of rows and of columns in training pixels, float64."""
        return centres(self.box.y0, self.box.h) / self.ratio, centres(self.box.x0, self.box.w) / self.ratio

    @cached_property
    def coords(self) -> Tensor:
        """(1, h * w, 2) float32, (y, x) of the pixel centres in training pixels; shared by the batch."""
        y, x = (torch.from_numpy(a).float() for a in self.axes)
        both = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).reshape(1, -1, 2)
        return both.to(self.device)

    @cached_property
    def derived(self) -> dict[Hashable, Tensor]:
        """What layers derive from the tile alone, by names of theirs: made by the first, shared by all."""
        return {}

    @cached_property
    def area(self) -> Tensor:
        """(1, h * w) float32: one pixel each, zero in the halo (a neighbour tile counts it)."""
        area = torch.zeros(self.box.h, self.box.w)
        area[self.owned.relative_to(self.box).slices] = 1.0
        return area.reshape(1, -1).to(self.device)

    @cached_property
    def axis_weights(self) -> tuple[AxisWeights, AxisWeights]:
        """Interpolation weights of rows and of columns to the nodes that they touch."""
        own = self.owned.relative_to(self.box)
        y, x = self.axes
        return (
            AxisWeights.build(y, self.grid.pitch, self.grid.shape.h, slice(own.y0, own.y1), self.device),
            AxisWeights.build(x, self.grid.pitch, self.grid.shape.w, slice(own.x0, own.x1), self.device),
        )


@dataclass(frozen=True)
class AxisWeights:
    """One axis of the separable point ↔ grid weights of a tile.

    Attributes:
        first: first node touched.
        interpolate: (pixels, touched nodes) float32, rows sum to one (grid → points).
        spread: (touched nodes, pixels) float32, its transpose with zeros for pixels of the halo (points → grid).
    """

    first: int
    interpolate: Tensor
    spread: Tensor

    @classmethod
    def build(
        cls, axis: np.ndarray[Any, Any], pitch: float, nodes: int, owned: slice, device: torch.device | str
    ) -> AxisWeights:
        """Weights of the pixels at coordinates `axis` (training pixels), of which `owned` contribute to sums."""
        index, weight = linear_taps(axis, pitch, nodes)
        first, last = int(index.min()), int(index.max())
        dense = np.zeros((len(axis), last - first + 1), np.float32)
        np.add.at(dense, (np.arange(len(axis))[:, None], index - first), weight)
        spread = np.zeros_like(dense)
        spread[owned] = dense[owned]
        return cls(first, torch.from_numpy(dense).to(device), torch.from_numpy(spread.T.copy()).to(device))


Support = ScatterSupport | LatticeSupport
_Tensors = TypeVar("_Tensors", SparseMatrix, Neighbours, ScatterSupport)
_Any = TypeVar("_Any")


def _moved(value: _Tensors, device: torch.device | str) -> _Tensors:
    """A dataclass of tensors with every tensor (and nested dataclass) on `device`."""
    return map_tensors(value, lambda tensor: tensor.to(device, non_blocking=True))


def map_tensors(value: _Any, change: Callable[[Tensor], Tensor]) -> _Any:
    """A dataclass with `change` applied to each of its tensors and to those of the dataclasses in it."""
    changes: dict[str, Any] = {f.name: getattr(value, f.name) for f in fields(value)}  # type: ignore[arg-type]
    for name, part in changes.items():
        if isinstance(part, Tensor):
            changes[name] = change(part)
        elif is_dataclass(part) and any(isinstance(getattr(part, f.name), Tensor) for f in fields(part)):
            changes[name] = map_tensors(part, change)
    return type(value)(**changes)
