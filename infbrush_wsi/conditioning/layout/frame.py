"""Coordinates of a file of annotations and those of the canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.conditioning.layout.base import check_cell
from infbrush_wsi.conditioning.layout.place import check_offset
from infbrush_wsi.errors import ConditionError

Unit = Literal["pixel", "micrometer", "crs"]


@dataclass(frozen=True)
class Frame:
    """The way from a file's coordinates to the canvas's, and back.

    Attributes:
        scale: (2,) units of the canvas in one of the file's, along x and y.
        offset: (2,) of the canvas's top left corner in the file, in units of the canvas.
        direction: (2,) -1 where the file's axis runs against the canvas's.
    """

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    direction: NDArray[np.float64]

    @classmethod
    def of(cls, mpp: float | tuple[float, float] | None, unit: Unit, offset: tuple[float, float]) -> Frame:
        """From what callers say.

        Args:
            mpp: micrometres per pixel at level 0, or (x, y), for the unit 'pixel'.
            unit: of the file's coordinates.
            offset: (x, y) of the canvas's top left corner in the file, in units of the canvas.

        Raises:
            ConditionError: if they do not go together.
        """
        if unit not in get_args(Unit):
            raise ConditionError(f"coordinates can be in {', '.join(get_args(Unit))}, not {unit!r}")
        if (mpp is None) == (unit == "pixel"):
            raise ConditionError(
                "the coordinates are pixels, so give mpp: micrometres per level-0 pixel of the annotated slide"
                if unit == "pixel"
                else f"the coordinates are in {unit}, so mpp has no meaning; leave it out"
            )
        x, y = mpp if isinstance(mpp, tuple | list) else (mpp, mpp)
        sides = [1.0 if side is None else check_cell(side, "mpp") for side in (x, y)]
        corner = check_offset(offset)
        downwards = -1.0 if unit == "crs" else 1.0
        return cls(np.array(sides), np.array([corner.x, corner.y]), np.array([1.0, downwards]))

    def on_canvas(self, ring: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (n, 2) in units of the canvas from its top left corner."""
        return (ring * self.scale - self.offset) * self.direction

    def off_canvas(self, ring: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse: points (n, 2) in the file's coordinates."""
        return (ring * self.direction + self.offset) / self.scale
