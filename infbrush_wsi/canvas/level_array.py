"""One level of a canvas as a lazy array that dask, xarray and Zarr-like readers accept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.canvas.indexing import window_of
from infbrush_wsi.domain import Shape

if TYPE_CHECKING:
    from infbrush_wsi.canvas.canvas import Canvas

CHUNK = 512


def chunks_of(shape: tuple[int, int, int], side: int = CHUNK) -> tuple[int, int, int]:
    """Chunks of `side` pixels with all bands, no larger than an array (h, w, C)."""
    return min(side, shape[0]), min(side, shape[1]), shape[2]


@dataclass(frozen=True)
class LevelArray:
    """uint8 (h, w, C) whose pixels are computed when they are first touched.

    To another process it travels as a `TravelledLevel` with the canvas's recipe: model, condition, seed and settings,
    never the network.

    Attributes:
        canvas: whose level it is.
        level: index in the pyramid.
        size: rows and columns.
    """

    canvas: Canvas
    level: int
    size: Shape

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, C)."""
        return (*self.size.as_tuple(), len(self.canvas.channel_names))

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
        return chunks_of(self.shape)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        box, local = window_of(key, self.shape)
        if not box.shape.count:
            return np.asarray(np.empty((box.h, box.w, self.shape[2]), np.uint8)[local])
        window = self.canvas.reader.read(self.level, box, self.canvas.progress)
        return np.asarray(window[local], np.uint8).copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)

    def __dask_tokenize__(self) -> tuple[str, int]:
        return self.canvas.token, self.level

    def __reduce__(self) -> tuple[Any, ...]:
        return TravelledLevel, (self.canvas.portable(), self.level, self.shape, self.canvas.token)


@dataclass(frozen=True)
class TravelledLevel:
    """A level that came from another process. Its canvas is made when pixels are read, where errors can be told.

    Attributes:
        recipe: of the canvas.
        level: index in the pyramid.
        shape: (h, w, C).
        token: of the canvas.
    """

    recipe: Any
    level: int
    shape: tuple[int, int, int]
    token: str
    dtype = np.dtype(np.uint8)
    ndim = 3

    @property
    def chunks(self) -> tuple[int, int, int]:
        """Preferred chunk shape."""
        return chunks_of(self.shape)

    @property
    def canvas(self) -> Any:
        """The canvas in this process, made at the first request.

        Raises:
            CheckpointError, PlanError: if it cannot be made here.
        """
        return self.recipe.open()

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        pixels: NDArray[np.uint8] = self.canvas.level_array(self.level)[key]
        return pixels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)

    def __dask_tokenize__(self) -> tuple[str, int]:
        return self.token, self.level
