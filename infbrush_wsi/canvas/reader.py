"""What gives a canvas its pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box

Progress = Callable[[int, int], None]


class Reader(Protocol):
    """An engine as the canvas sees it."""

    @property
    def rendered(self) -> bool:
        """Whether a read finds its pixels computed."""
        ...

    def render(self, progress: Progress | None) -> None:
        """Do now what a first read would have to wait for."""
        ...

    def read(self, level: int, box: Box, progress: Progress | None = None) -> NDArray[np.uint8]:
        """A window inside a level, uint8 (h, w, C)."""
        ...

    def averaged(self, level: int) -> bool:
        """Whether a level is nothing but the 2 x 2 means of the finer one."""
        ...

    def overview(self, max_side: int, progress: Progress | None = None) -> NDArray[np.uint8]:
        """The whole canvas, small, and if that is cheap not smaller than `max_side`."""
        ...
