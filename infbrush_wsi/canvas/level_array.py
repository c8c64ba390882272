"""One level of a canvas as a lazy array that dask, xarray and Zarr-like readers accept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.canvas.state import StateArray
from infbrush_wsi.domain import Shape


@dataclass(frozen=True)
class LevelArray:
    """uint8 (h, w, C) whose pixels are computed when they are first touched.

    Attributes:
        level: index in the pyramid.
        size: rows and columns.
        channels: C.
        tile: side of its chunks.
        token: what determines the pixels; equal tokens, equal pixels.
        stored: gives the rendered level, rendering the canvas if that has not happened yet.
    """

    level: int
    size: Shape
    channels: int
    tile: int
    token: str
    stored: Callable[[int], StateArray]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, C)."""
        return (*self.size.as_tuple(), self.channels)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        """3."""
        return 3

    @property
    def chunks(self) -> tuple[int, int, int]:
        """Preferred chunk shape."""
        return (min(self.tile, self.size.h), min(self.tile, self.size.w), self.channels)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        return np.array(self.stored(self.level).open()[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)

    def __dask_tokenize__(self) -> tuple[str, int]:
        return self.token, self.level

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process cannot share this one's network; it gets the rendered file.
        return _opened, (self.stored(self.level), self.level, self.tile, self.token)


@dataclass(frozen=True)
class _Rendered:
    state: StateArray

    def __call__(self, level: int) -> StateArray:
        return self.state


def _opened(state: StateArray, level: int, tile: int, token: str) -> LevelArray:
    return LevelArray(level, state.shape, state.channels, tile, token, _Rendered(state))
