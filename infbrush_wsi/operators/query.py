"""The pixels at which a feature map is asked for colours: a lattice in the feature map's own coordinates.

Cell k of an axis of the feature map covers [k, k + 1) and has its centre at k + 0.5. Coordinates follow from whole
pixel numbers in double precision, so that a pixel has the same ones in whatever window it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from infbrush_wsi.domain import Box, Shape


@dataclass(frozen=True)
class Query:
    """Windows of B lattices, one for each feature map of a batch.

    Attributes:
        origin: (B, 2) float64, feature coordinates (y, x) of the corner of pixel (0, 0).
        cell: (B, 2) float64, sides (y, x) of a pixel in feature cells.
        first: (B, 2) int64, row and column of the window's first pixel.
        shape: rows and columns of the windows.
    """

    origin: Tensor
    cell: Tensor
    first: Tensor
    shape: Shape

    @classmethod
    def window(cls, box: Box, cell: tuple[float, float], origin: tuple[float, float] = (0.0, 0.0)) -> Query:
        """One window of one lattice.

        Args:
            box: pixels of the lattice; may reach outside of the feature map.
            cell: sides (y, x) of a pixel in feature cells.
            origin: feature coordinates (y, x) of the lattice's corner.
        """
        corner, sides = (torch.tensor([pair], dtype=torch.float64) for pair in (origin, cell))
        return cls(corner, sides, torch.tensor([[box.y0, box.x0]]), box.shape)

    @classmethod
    def stacked(cls, queries: Sequence[Query]) -> Query:
        """A batch of windows of one shape."""
        origin, cell, first = ([getattr(q, name) for q in queries] for name in ("origin", "cell", "first"))
        return cls(torch.cat(origin), torch.cat(cell), torch.cat(first), queries[0].shape)

    def __len__(self) -> int:
        return len(self.cell)

    def coordinates(self, axis: int, margin: int = 0) -> Tensor:
        """Feature coordinates of the pixel centres, (B, n + 2 margin) float64.

        Args:
            axis: 0 for rows, 1 for columns.
            margin: more pixels at each end.
        """
        count = self.shape.as_tuple()[axis] + 2 * margin
        steps = torch.arange(-margin, count - margin, device=self.first.device)
        index = (self.first[:, axis, None] + steps).double() + 0.5
        return self.origin[:, axis, None] + index * self.cell[:, axis, None]

    def to(self, device: torch.device | str) -> Query:
        """The same on another device."""
        return Query(self.origin.to(device), self.cell.to(device), self.first.to(device), self.shape)
