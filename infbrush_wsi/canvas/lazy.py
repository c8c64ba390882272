"""The lazy engine: every level of a canvas by direct evaluation, tile by tile, in any order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.canvas.averaged_level import AnyLevel, AveragedLevel
from infbrush_wsi.canvas.generator import Generator
from infbrush_wsi.canvas.level import Level, Tile, dump_tile, load_tile
from infbrush_wsi.canvas.picture import pyramid_shapes, resized
from infbrush_wsi.canvas.plan import Plan
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.scattered_level import ENOUGH_POINTS, ScatteredLevel
from infbrush_wsi.canvas.shared_cache import DISK_BYTES, SharedCache
from infbrush_wsi.canvas.stage import Stage
from infbrush_wsi.canvas.state_bytes import dump_state, load_state
from infbrush_wsi.canvas.tile import Lens
from infbrush_wsi.canvas.trajectory import FrameState
from infbrush_wsi.domain import Box, Shape

MEMORY_BYTES = 512 << 20
OWN_RATIO = math.sqrt(2.0)
"""Largest number of pixels per training pixel at which a stage stands in for a finer one."""


OVERVIEW_PIXELS = 1 << 20
"""Evaluated pixels that a thumbnail may cost."""


@dataclass(frozen=True)
class CacheLimits:
    """Bytes that computed tiles and frames may take.

    Attributes:
        memory: in memory; half for tiles, half for frames.
        disk: in the scratch folder; 0: nothing goes there, what leaves memory is computed again.
    """

    memory: int = MEMORY_BYTES
    disk: int = DISK_BYTES


class LazyReader:
    """Reads pixels of any level of a canvas.

    Args:
        generator: model and settings.
        stages: the chain of canvases.
        folder: for what leaves memory.
        limits: of the caches.
    """

    def __init__(
        self, generator: Generator, stages: Sequence[Stage], folder: Path, limits: CacheLimits | None = None
    ) -> None:
        limits = limits or CacheLimits()
        self.generator, self.stages, self.folder = generator, tuple(stages), folder
        on_disk = limits.disk > 0
        self._tiles: SharedCache[Tile] = SharedCache(
            dump_tile, load_tile, limits.memory // 2, folder / "tiles" if on_disk else None, limits.disk // 2
        )
        self._frames: SharedCache[FrameState] = SharedCache(
            dump_state, load_state, limits.memory // 2, folder / "frames" if on_disk else None, limits.disk // 2
        )
        self.plan = Plan(generator, self.stages, self._frames, folder)
        self._shapes = pyramid_shapes(generator.spec.shape)
        self._level = lru_cache(maxsize=None)(self._make_level)

    @property
    def rendered(self) -> bool:
        """Whether the coarsest stage is planned, which every read needs."""
        top = self.stages[-1]
        return top.frames.count > 1 or self.plan.has(top, (0, 0))

    def render(self, progress: Progress | None) -> None:
        """Plan the coarsest stage; progress is told in steps."""
        top = self.stages[-1]
        if top.frames.count == 1:
            self.plan.state(top, (0, 0), progress)

    def read(self, level: int, box: Box, progress: Progress | None = None) -> NDArray[np.uint8]:
        """A window inside a level, uint8 (h, w, C)."""
        with self.plan.blamed():
            return self.level(level).read(box)

    def averaged(self, level: int) -> bool:
        """See `Reader`."""
        return isinstance(self.level(level), AveragedLevel)

    def forget_tiles(self) -> None:
        """Drop computed tiles; the plan stays."""
        self._tiles.clear()

    def overview(self, max_side: int, progress: Progress | None = None) -> NDArray[np.uint8]:
        """The whole canvas at `max_side` if a stage has that resolution, else its coarsest level that is not smaller.

        A level that takes more than a million evaluated pixels gives way to a coarser one. Between a stage's own pixels
        there is no more detail, so a slightly larger picture is interpolated.
        """
        spec, shape = self.generator.spec, self.generator.spec.shape
        scale = min(1.0, max_side / max(shape.as_tuple()))
        size = Shape(max(1, round(shape.h * scale)), max(1, round(shape.w * scale)))
        lens = self._lens(scale * spec.ratio, size)
        if lens.ratio >= 1.0:
            own = lens.ratio <= OWN_RATIO + 1e-9
            return resized(self._whole(lens.stage.pixels), size) if own else self._whole(size)
        levels = [self.level(k) for k in range(len(self._shapes))]
        large = [k for k, level in enumerate(levels) if k == 0 or max(level.shape.as_tuple()) >= max_side]
        cheap = [k for k in range(large[-1], len(levels)) if levels[k].evaluated <= OVERVIEW_PIXELS]
        if not cheap and len(self.stages) > 1:  # a giant canvas has no more levels, but stages beyond them
            return self._whole(self.stages[-1].pixels)
        chosen = levels[cheap[0] if cheap else len(levels) - 1]
        return chosen.read(Box(0, 0, chosen.shape.w, chosen.shape.h))

    def _whole(self, size: Shape) -> NDArray[np.uint8]:
        return self.view(size).read(Box(0, 0, size.w, size.h))

    def level(self, number: int) -> AnyLevel:
        """A level: evaluated directly, read off the plan's points, or averaged from the next finer one."""
        found: AnyLevel = self._level(number)
        return found

    @property
    def finest(self) -> Lens:
        """Stage 0 at the resolution of level 0."""
        return self._lens(self.generator.spec.ratio, self.generator.spec.shape)

    def view(self, shape: Shape) -> Level:
        """The whole canvas at another size, by the coarsest stage that holds as much detail."""
        width = self.generator.spec.shape.w / self.generator.spec.ratio
        lens = self._lens(shape.w / width, shape)
        return Level(f"view-{shape.h}-{shape.w}", lens, self.generator.spec.tile, self._tiles)

    def _make_level(self, number: int) -> AnyLevel:
        spec = self.generator.spec
        lens = self._lens(spec.ratio / 2**number, self._shapes[number])
        name = f"level-{number}"
        if number == 0 or lens.ratio >= 1.0 or self._stage(2 * lens.ratio / lens.stage.factor) != lens.stage:
            return Level(name, lens, spec.tile, self._tiles)
        if self.generator.density >= ENOUGH_POINTS * lens.ratio**2:
            return ScatteredLevel(name, lens, spec.tile, self._tiles)
        return AveragedLevel(self._shapes[number], self.level(number - 1))

    def _lens(self, scale: float, shape: Shape) -> Lens:
        """Scale is pixels per training pixel of stage 0."""
        stage = self._stage(scale)
        ratio = scale * stage.factor
        return Lens(self.generator, self.plan, stage, 1.0 if abs(ratio - 1.0) < 1e-9 else ratio, shape)

    def _stage(self, scale: float) -> Stage:
        """The coarsest stage whose own pixels are not much larger."""
        fitting = [stage for stage in self.stages[1:] if scale * stage.factor <= OWN_RATIO + 1e-9]
        return fitting[-1] if fitting else self.stages[0]
