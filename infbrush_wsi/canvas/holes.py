"""Holes of an image: what of it is to be made anew."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infbrush_wsi.domain import Box


@dataclass(frozen=True)
class Hole:
    """Pixels to be made.

    Attributes:
        box: a window of the image.
        inside: bool (box.h, box.w), True where pixels are to be made.
    """

    box: Box
    inside: NDArray[np.bool_]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to make."""
        return not self.inside.any()

    @property
    def sha256(self) -> str:
        """Hash of place and pixels."""
        digest = hashlib.sha256(repr((self.box.x0, self.box.y0, self.box.w, self.box.h)).encode())
        digest.update(np.packbits(self.inside).tobytes())
        return digest.hexdigest()

    def tight(self) -> Hole:
        """The same in the smallest box."""
        rows, columns = (np.flatnonzero(self.inside.any(axis=axis)) for axis in (1, 0))
        y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        box = Box(self.box.x0 + x0, self.box.y0 + y0, x1 - x0, y1 - y0)
        return Hole(box, self.inside[y0:y1, x0:x1])

    def within(self, box: Box) -> NDArray[np.bool_]:
        """Bool (box.h, box.w): what of it lies where in another window."""
        found = np.zeros((box.h, box.w), bool)
        common = self.box.intersect(box)
        if not common.empty:
            found[common.relative_to(box).slices] = self.inside[common.relative_to(self.box).slices]
        return found

    def separate(self, distance: int) -> list[Hole]:
        """Parts that are farther than `distance` pixels from each other, in the order of their first rows."""
        # Chebyshev distance in two passes; gaps up to twice the growth are closed.
        grown = ndimage.maximum_filter(self.inside, size=2 * (-(-distance // 2)) + 1, mode="constant")
        labels, count = ndimage.label(grown, structure=np.ones((3, 3), int))
        parts = [Hole(self.box, self.inside & (labels == number)) for number in range(1, count + 1)]
        return [part.tight() for part in parts if not part.empty]
