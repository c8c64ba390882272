"""T x_0 at scattered pixels of a large image, through the pixel cache: memory follows the points, not the image."""

from __future__ import annotations

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
    out = np.empty((len(index), view.channels), np.float32)
    tile_yx, within = np.divmod(index, cache.tile_side)
    columns = -(-view.shape.w // cache.tile_side)
    key = tile_yx[:, 0] * columns + tile_yx[:, 1]
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    for group in np.split(order, starts)[1:]:
        ty, tx = (int(v) for v in tile_yx[group[0]])
        tile = cache.tile(view, ty, tx)
        out[group] = mollifier.gather(tile, within[group] + cache.apron, threads=1)
    return out
