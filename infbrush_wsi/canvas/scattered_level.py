"""A coarse level from the points of the plan alone: each pixel is the mean of those in and around its cell.

Where a pixel covers several points of the frames' sparse runs, their values are already there, and their mean is
nearer to the average of the finer level than a network evaluation at the pixel's centre would be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.canvas.level import Tile, TiledLevel, TileIndex, TileLattice
from infbrush_wsi.canvas.picture import to_grey
from infbrush_wsi.domain import Box
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.transfer import splat_matrix

ENOUGH_POINTS = 4.0
"""Points per pixel from which a level is read off the plan."""
MARGIN = 4
"""Pixels around a tile whose points count: one by the weights, more where a pixel has no point near it."""


@dataclass(frozen=True)
class ScatteredLevel(TiledLevel):
    """A level whose pixels are weighted means of plan points."""

    @property
    def evaluated(self) -> int:
        """Pixels or points that the network is evaluated at for the whole level."""
        return round(self.lens.stage.pixels.count * self.lens.generator.density)

    @cached_property
    def picture(self) -> TileLattice:
        """Grey values, uint8."""
        return self._lattice(self._tile)

    def read(self, box: Box) -> NDArray[np.uint8]:
        """A window inside the image, uint8 (h, w, C)."""
        if box.shape.count:
            self.lens.plan.prepare(self.lens.stage, [self._nodes(box)])
        return np.asarray(self.picture.read(box), np.uint8)

    def _tile(self, tile: TileIndex) -> Tile:
        return self.cache.get(f"{self.name}/picture/{tile[0]}/{tile[1]}", lambda: self._averaged(tile))

    def _averaged(self, tile: TileIndex) -> NDArray[np.uint8]:
        box = self.picture.box(tile)
        frames = self.lens.stage.frames.touching(self._nodes(box))
        cloud = self.lens.plan.clouds(self.lens.stage, frames)
        cloud = cloud.scaled(self.lens.ratio).inside(box.pad(MARGIN))
        spread = splat_matrix(
            cloud.where - np.asarray([box.y0 - MARGIN, box.x0 - MARGIN]),
            cloud.weight,
            GridGeometry(box.pad(MARGIN).shape, 1.0),
        )
        values = (spread @ cloud.values).reshape(box.h + 2 * MARGIN, box.w + 2 * MARGIN, -1)
        return to_grey(values[MARGIN:-MARGIN, MARGIN:-MARGIN])

    def _nodes(self, box: Box) -> Box:
        """Nodes under a window with its margin."""
        return box.pad(MARGIN).cells(self.lens.ratio * self.lens.stage.pitch).clip(self.lens.stage.frames.nodes)
