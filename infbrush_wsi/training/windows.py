"""Where training windows are cut: uniformly over what is tissue (or valid)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.sources.base import Source
from infbrush_wsi.sources.view import ResampledView

TRIES = 32


@dataclass(frozen=True)
class WindowPicker:
    """Draws windows of one image with at least a share of tissue.

    Attributes:
        view: the image at the training pixel size.
        source: it comes from.
        window: side in pixels.
        tissue_fraction: least share of tissue; the best of 32 tries is taken where there is not that much.
    """

    view: ResampledView
    source: Source
    window: int
    tissue_fraction: float

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Low-resolution mask of the whole image, (h, w)."""
        return self.source.mask()[0]

    @cached_property
    def _sums(self) -> NDArray[np.int64]:
        return np.pad(self.mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))

    def draw(self, rng: np.random.Generator) -> Box:
        """A window inside the image."""
        best, most = None, -1.0
        for _ in range(TRIES):
            box = Box(
                int(rng.integers(self.view.shape.w - self.window + 1)),
                int(rng.integers(self.view.shape.h - self.window + 1)),
                self.window,
                self.window,
            )
            share = self.share(box)
            if share > most:
                best, most = box, share
            if share >= self.tissue_fraction:
                break
        assert best is not None  # noqa: S101
        return best

    def share(self, box: Box) -> float:
        """Share of mask cells under a window (cells that it touches) that are set."""
        rows, columns = self._cells(box)
        s = self._sums
        count = s[rows.stop, columns.stop] - s[rows.start, columns.stop] - s[rows.stop, columns.start]
        count += s[rows.start, columns.start]
        return int(count) / int((rows.stop - rows.start) * (columns.stop - columns.start))

    def crop(self, box: Box) -> NDArray[np.bool_]:
        """The mask under a window, coarse."""
        return self.mask[self._cells(box)]

    def at(self, index_yx: NDArray[np.integer]) -> NDArray[np.bool_]:
        """The mask at pixels of the view, (N,)."""
        cells = index_yx * self.mask.shape // self.view.shape.as_tuple()
        return np.asarray(self.mask[cells[:, 0], cells[:, 1]])

    def _cells(self, box: Box) -> tuple[slice, slice]:
        shape = Shape(*self.mask.shape)
        y = (box.y0 * shape.h // self.view.shape.h, -(-box.y1 * shape.h // self.view.shape.h))
        x = (box.x0 * shape.w // self.view.shape.w, -(-box.x1 * shape.w // self.view.shape.w))
        return slice(y[0], min(y[1], shape.h)), slice(x[0], min(x[1], shape.w))
