"""T x_0 at scattered pixels of a large image, through the pixel cache: memory follows the points, not the image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.fields.mollifier import Mollifier
from infbrush_wsi.points.pixel_cache import PixelCache
from infbrush_wsi.sources.view import ResampledView


def gather_mollified(
    cache: PixelCache, view: ResampledView, index_yx: NDArray[np.integer], mollifier: Mollifier
) -> NDArray[np.float32]:
    """Mollified values at lattice points of a view.

    Args:
        cache: of decoded tiles; its apron must hold the mollifier's taps.
        view: image at the wanted pixel size.
        index_yx: (N, 2) row and column in the view, inside it.
        mollifier: T.

    Returns:
        (N, C) float32, grey values mapped to [-1, 1].
    """
    index = np.asarray(index_yx, np.int64)
    tile_yx, within = np.divmod(index, cache.tile_side)
    columns = -(-view.shape.w // cache.tile_side)
    tile = tile_yx[:, 0] * columns + tile_yx[:, 1]
    # Row by row within a tile: runs of neighbouring pixels are averaged together.
    order = np.argsort((tile * cache.tile_side + within[:, 0]) * cache.tile_side + within[:, 1], kind="stable")
    tile, within = tile[order], within[order] + cache.apron
    edges = np.flatnonzero(np.diff(tile, prepend=-1, append=-1)).tolist()
    values = np.empty((len(index), view.channels), np.float32)
    for start, stop in pairwise(edges):
        ty, tx = divmod(int(tile[start]), columns)
        mollifier.gather_into(cache.tile(view, ty, tx), within[start:stop], values[start:stop])
    out = np.empty_like(values)
    out[order] = values
    return out
