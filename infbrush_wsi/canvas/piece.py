"""A canvas that is computed in one piece at its first read, then served from files with its levels as 2 x 2 means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.canvas.picture import build_pyramid, pyramid_shapes, to_grey
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.spec import CanvasSpec
from infbrush_wsi.canvas.state import StateArray
from infbrush_wsi.canvas.whole import WholeReader
from infbrush_wsi.domain import Box

RenderPiece = Callable[[Progress | None], NDArray[np.float32]]
"""Makes all values of level 0, float32 (h, w, C) in [-1, 1]."""


class PieceReader(WholeReader):
    """Renders all of a canvas at once, without a mollifier to be undone.

    Args:
        spec: what to render.
        render: makes the values.
        folder: of the files.
    """

    def __init__(self, spec: CanvasSpec, render: RenderPiece, folder: Path) -> None:
        super().__init__(spec, lambda scratch: None, 0.0, folder)
        self._render = render

    def _compute(self, progress: Progress | None) -> list[StateArray]:
        values = self._render(progress)
        shape = self.spec.shape
        try:
            level0 = StateArray(self.folder / "level-0.raw", shape, values.shape[-1], np.uint8)
            level0.write(Box(0, 0, shape.w, shape.h), to_grey(values))
            return build_pyramid(level0, pyramid_shapes(shape), self.spec.tile, self.folder)
        except BaseException:
            for path in self.folder.glob("*.raw"):
                path.unlink()
            raise
