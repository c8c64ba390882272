"""Guidance by a coarser picture: below a cut-off frequency the finer image takes the coarser one's values.

At every step the prediction is averaged over the cells of a lattice (area-weighted splat), compared with the coarser
picture there, and the difference is added back by bilinear interpolation: iterative refinement of the low-pass part,
as in ILVR (Choi et al. 2021), for values at scattered points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from infbrush_wsi.canvas.cloud import Cloud
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.transfer import bilinear_matrix, splat_matrix


@dataclass(frozen=True)
class Guide:
    """What a frame's predictions should be on average.

    Attributes:
        target: (cells, C) float32, row-major.
        to_cells: (cells, N) area-weighted means of the points.
        to_points: (N, cells) bilinear.
    """

    target: NDArray[np.float32]
    to_cells: sparse.csr_array[Any]
    to_points: sparse.csr_array[Any]

    @classmethod
    def of_points(
        cls,
        coords_yx: NDArray[np.float64],
        area: NDArray[np.float32],
        grid: GridGeometry,
        picture: Cloud,
    ) -> Guide:
        """For points of a frame.

        Args:
            coords_yx: (N, 2) from the frame's corner in training pixels.
            area: (N,) that each point stands for.
            grid: cells of the frame.
            picture: points of the coarser picture, in the same coordinates.
        """
        target = np.asarray(splat_matrix(picture.where, picture.weight, grid) @ picture.values, np.float32)
        return cls(target, splat_matrix(coords_yx, area, grid), bilinear_matrix(coords_yx, grid))

    def difference(self, clean: NDArray[np.float32]) -> NDArray[np.float16]:
        """(cells, C) of target minus prediction, as a plan stores it."""
        return np.asarray(self.target - self.to_cells @ clean, np.float16)

    def spread(self, difference: NDArray[np.float16]) -> NDArray[np.float32]:
        """(N, C) to be added at the points."""
        return np.asarray(self.to_points @ difference.astype(np.float32), np.float32)
