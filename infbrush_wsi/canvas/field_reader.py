"""Any window at any level from one latent: the feature map is decoded once, pixels are rendered tile by tile."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infbrush_wsi.canvas.averaged_level import AnyLevel, AveragedLevel
from infbrush_wsi.canvas.field_level import FieldLevel
from infbrush_wsi.canvas.field_spec import FieldSpec
from infbrush_wsi.canvas.lazy import CacheLimits
from infbrush_wsi.canvas.level import Tile, dump_tile, load_tile
from infbrush_wsi.canvas.once import Once
from infbrush_wsi.canvas.picture import pyramid_shapes, to_grey
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.shared_cache import SharedCache
from infbrush_wsi.domain import Box
from infbrush_wsi.models.infd import FieldAutoencoder
from infbrush_wsi.operators.one_thread import one_torch_thread
from infbrush_wsi.operators.query import Query

COARSEST_CELL = math.sqrt(2.0)
"""Largest pixels, in features, that are rendered; the renderer was trained up to one feature a pixel."""

MakeLatent = Callable[[Progress | None], Tensor]


class FieldReader:
    """Reads pixels of any level of a canvas with one latent.

    Memory follows the feature map, the tile and the cache, not the canvas. A tile is rendered on one thread of torch,
    so its bytes depend on the model, the specification, the level and its index, on nothing else.

    Args:
        spec: the generation.
        autoencoder: decodes and renders, in evaluation mode.
        latent: makes the latent (1, c, h, w), at the first read.
        folder: for tiles that leave memory.
        limits: of the cache of tiles.
    """

    def __init__(
        self,
        spec: FieldSpec,
        autoencoder: FieldAutoencoder,
        latent: MakeLatent,
        folder: Path,
        *,
        limits: CacheLimits | None = None,
    ) -> None:
        limits = limits or CacheLimits()
        self.spec, self.autoencoder = spec, autoencoder
        self._make = latent
        on_disk = folder / "tiles" if limits.disk > 0 else None
        self._tiles: SharedCache[Tile] = SharedCache(dump_tile, load_tile, limits.memory, on_disk, limits.disk)
        self._latent: Once[Tensor] = Once()
        self._features: Once[Tensor] = Once()
        self._shapes = pyramid_shapes(spec.shape)
        self.level = lru_cache(maxsize=None)(self._level)

    @property
    def rendered(self) -> bool:
        """Whether the feature map is there, which every read needs."""
        return self._features.done

    def render(self, progress: Progress | None) -> None:
        """Sample the latent and decode it; progress is told in steps."""
        self._map(progress)

    def read(self, level: int, box: Box, progress: Progress | None = None) -> NDArray[np.uint8]:
        """A window inside a level, uint8 (h, w, C)."""
        self._map(progress)
        return self.level(level).read(box)

    def averaged(self, level: int) -> bool:
        """See `Reader`: levels with pixels larger than in training are averages."""
        return isinstance(self.level(level), AveragedLevel)

    def overview(self, max_side: int, progress: Progress | None = None) -> NDArray[np.uint8]:
        """The coarsest level whose longer side is at least `max_side`, or level 0."""
        large = [k for k, shape in enumerate(self._shapes) if k == 0 or max(shape.as_tuple()) >= max_side]
        shape = self._shapes[large[-1]]
        return self.read(large[-1], Box(0, 0, shape.w, shape.h), progress)

    def latent(self, progress: Progress | None = None) -> Tensor:
        """The latent (1, c, h, w)."""
        return self._latent.get(lambda: self._make(progress))

    def _map(self, progress: Progress | None) -> Tensor:
        return self._features.get(lambda: self._decode(progress))

    @torch.inference_mode()
    def _decode(self, progress: Progress | None) -> Tensor:
        with one_torch_thread():
            return self.autoencoder.features(self.latent(progress).to(self.autoencoder.device))

    def _level(self, number: int) -> AnyLevel:
        shape, cell = self._shapes[number], self.spec.cell * 2**number
        if number and cell > COARSEST_CELL:
            return AveragedLevel(shape, self.level(number - 1))
        name = f"level-{number}"
        return FieldLevel(name, shape, cell, self.spec.tile, self.autoencoder.channels, self._tile, self._tiles)

    @torch.inference_mode()
    def _tile(self, box: Box, cell: float) -> NDArray[np.uint8]:
        features = self._map(None)
        with one_torch_thread():
            query = Query.window(box, (cell, cell)).to(features.device)
            values = self.autoencoder.render(features, query)[0].permute(1, 2, 0)
        return to_grey(values.float().cpu().numpy())
