"""Averages of an image over square cells of its pixels, and the smooth image that has given averages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Shape, centres
from infbrush_wsi.errors import RegionError
from infbrush_wsi.points.grid import linear_taps

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class CellMeans:
    """A: an image → its averages over cells, and S, a right inverse of A that leaves no edges between cells.

    Along each axis S = B (A B)⁻¹ with B the linear interpolation between the centres of cells, so A S = 1 exactly and
    ``x + S (y - A x)`` is an image with the averages y.

    Attributes:
        cells: rows and columns of cells.
        factor: pixels along the side of a cell.
    """

    cells: Shape
    factor: int

    def __post_init__(self) -> None:
        if self.factor < 1 or min(self.cells.as_tuple()) < 1:
            raise RegionError(f"averages over {self.cells} cells of {self.factor} pixels make no sense")

    @cached_property
    def _axes(self) -> tuple[Matrix, Matrix]:
        return _smooth_inverse(self.cells.h, self.factor), _smooth_inverse(self.cells.w, self.factor)

    def average(self, image: NDArray[np.floating]) -> Matrix:
        """A: (h, w, C) of whole cells → float64 (cells.h, cells.w, C)."""
        h, w = self.cells.as_tuple()
        cells = np.asarray(image, np.float64).reshape(h, self.factor, w, self.factor, -1)
        return np.asarray(cells.mean(axis=(1, 3)))

    def repeat(self, values: NDArray[np.floating]) -> Matrix:
        """factor² times the transpose of A: every pixel of a cell has the cell's value."""
        return np.asarray(values, np.float64).repeat(self.factor, axis=0).repeat(self.factor, axis=1)

    def smooth(self, values: NDArray[np.floating]) -> Matrix:
        """S: (cells.h, cells.w, C) → float64 (h, w, C) with these averages."""
        rows, columns = self._axes
        return np.asarray(np.einsum("ia,abc,jb->ijc", rows, values, columns, optimize=True))


def _smooth_inverse(cells: int, factor: int) -> Matrix:
    """(cells * factor, cells): interpolation whose averages over cells are the given values."""
    pixels = cells * factor
    index, weight = linear_taps(centres(0, pixels), factor, cells)
    linear = np.zeros((pixels, cells))
    np.add.at(linear, (np.arange(pixels)[:, None], index), weight)
    means = linear.reshape(cells, factor, cells).mean(axis=1)
    return np.asarray(np.linalg.solve(means.T, linear.T).T)
