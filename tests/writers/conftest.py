"""Images of no special size, with every pixel different from its neighbours, as numpy and as dask arrays."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray


class CountingImage:
    """An array-like that dask reads block by block, and that remembers which blocks it was asked for."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels, self.shape, self.dtype, self.ndim = pixels, pixels.shape, pixels.dtype, pixels.ndim
        self.asked: Counter[tuple[tuple[int, int], ...]] = Counter()
        self._lock = Lock()

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[np.uint8]:
        with self._lock:
            self.asked[tuple((part.start, part.stop) for part in region)] += 1
        return self.pixels[region]


@pytest.fixture
def pixels() -> Callable[..., NDArray[np.uint8]]:
    """Make random pixels (h, w, c)."""

    def make(h: int, w: int, c: int = 3) -> NDArray[np.uint8]:
        return np.random.default_rng([h, w, c]).integers(0, 256, (h, w, c), dtype=np.uint8)

    return make


@pytest.fixture
def lazy() -> Callable[..., da.Array]:
    """Make a dask array (h, w, c) of square chunks."""

    def make(image: NDArray[np.uint8] | CountingImage, chunk: int = 64) -> da.Array:
        return da.from_array(
            image, chunks=(chunk, chunk, image.shape[2]), asarray=True, fancy=False, meta=np.empty(0, np.uint8)
        )

    return make


@pytest.fixture
def counting() -> type[CountingImage]:
    return CountingImage


class BreakingImage(CountingImage):
    """Raises instead of giving the block number `at` (from 1) and all later ones."""

    def __init__(self, pixels: NDArray[np.uint8], at: int, error: BaseException) -> None:
        super().__init__(pixels)
        self.at, self.error = at, error

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[np.uint8]:
        block = super().__getitem__(region)
        if self.asked.total() >= self.at:
            raise self.error
        return block


@pytest.fixture
def breaking() -> type[BreakingImage]:
    return BreakingImage


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """All files of a folder with their bytes."""

    def read(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return read
