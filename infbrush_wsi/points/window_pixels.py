"""All pixels of a window of a large image, through the pixel cache: each tile is decoded once a run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box
from infbrush_wsi.points.pixel_cache import PixelCache
from infbrush_wsi.sources.view import ResampledView


def read_window(cache: PixelCache, view: ResampledView, box: Box) -> NDArray[np.uint8]:
    """Pixels of a window inside a view, from the tiles that it touches.

    Args:
        cache: of decoded tiles.
        view: image at the wanted pixel size.
        box: the window.

    Returns:
        uint8 (h, w, C).
    """
    side = cache.tile_side
    out = np.empty((box.h, box.w, view.channels), np.uint8)
    touched = box.cells(side)
    for ty in range(touched.y0, touched.y1):
        for tx in range(touched.x0, touched.x1):
            tile = Box(tx * side, ty * side, side, side)
            part = tile.intersect(box)
            inside = part.relative_to(tile.pad(cache.apron))
            out[part.relative_to(box).slices] = cache.tile(view, ty, tx)[inside.slices]
    return out
