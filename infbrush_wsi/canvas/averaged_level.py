"""A level of a canvas as the average of the next finer one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.writers.pyramid import halve


class AnyLevel(Protocol):
    """A level that is read by windows."""

    @property
    def shape(self) -> Shape:
        """Rows and columns."""
        ...

    @property
    def evaluated(self) -> int:
        """Pixels or points that the network is evaluated at for the whole level."""
        ...

    def read(self, box: Box) -> NDArray[np.uint8]:
        """A window inside the image, uint8 (h, w, C)."""
        ...


@dataclass(frozen=True)
class AveragedLevel:
    """A level of 2 x 2 means of the next finer one.

    Attributes:
        shape: rows and columns.
        finer: the level that is averaged.
    """

    shape: Shape
    finer: AnyLevel

    @property
    def evaluated(self) -> int:
        """Pixels or points that the network is evaluated at for the whole level."""
        return self.finer.evaluated

    def read(self, box: Box) -> NDArray[np.uint8]:
        """A window inside the image, uint8 (h, w, C)."""
        doubled = Box(2 * box.x0, 2 * box.y0, 2 * box.w, 2 * box.h).clip(self.finer.shape)
        return halve(self.finer.read(doubled).transpose(2, 0, 1)).transpose(1, 2, 0)
