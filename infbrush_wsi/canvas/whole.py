"""The pixels of engines that render the whole canvas (joint, sweep): at the first read, then served from files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.canvas.once import Once
from infbrush_wsi.canvas.picture import build_pyramid, pyramid_shapes, sharpen
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.spec import CanvasSpec
from infbrush_wsi.canvas.state import StateArray
from infbrush_wsi.domain import Box


class WholeReader:
    """Renders into files, step by step, and reads from them.

    Args:
        spec: what to render.
        engine: makes a `StepEngine` or a `Sweep` for a folder of scratch files.
        sigma_px: standard deviation of the mollifier in level-0 pixels.
        folder: of the files.
    """

    def __init__(self, spec: CanvasSpec, engine: Callable[[Path], Any], sigma_px: float, folder: Path) -> None:
        self.spec, self.folder = spec, folder
        self._engine, self._sigma_px = engine, sigma_px
        self._levels: Once[list[StateArray]] = Once()

    @property
    def rendered(self) -> bool:
        """Whether the pixels exist."""
        return self._levels.done

    def render(self, progress: Progress | None) -> None:
        """Compute all pixels now.

        Raises:
            OutputError: if the scratch disk is full; the room that was taken is given back.
        """
        self._levels.get(lambda: self._compute(progress))

    def read(self, level: int, box: Box, progress: Progress | None = None) -> NDArray[np.uint8]:
        """A window inside a level."""
        return np.asarray(self.stored(level, progress).read(box), np.uint8)

    def averaged(self, level: int) -> bool:
        """See `Reader`."""
        return level > 0

    def overview(self, max_side: int, progress: Progress | None = None) -> NDArray[np.uint8]:
        """The coarsest level whose longer side is at least `max_side`, or level 0."""
        shapes = pyramid_shapes(self.spec.shape)
        level = max(k for k, s in enumerate(shapes) if k == 0 or max(s.as_tuple()) >= max_side)
        return np.array(self.stored(level, progress).open())

    def stored(self, level: int, progress: Progress | None = None) -> StateArray:
        """The file of a level."""
        return self._levels.get(lambda: self._compute(progress))[level]

    def _compute(self, progress: Progress | None) -> list[StateArray]:
        try:
            engine = self._engine(self.folder)
            clean = engine.render(progress)
            level0 = sharpen(clean, self._sigma_px, self.spec.tile, self.folder / "level-0.raw")
            clean.remove()
            return build_pyramid(level0, pyramid_shapes(self.spec.shape), self.spec.tile, self.folder)
        except BaseException:
            for path in self.folder.glob("*.raw"):
                path.unlink()
            raise
