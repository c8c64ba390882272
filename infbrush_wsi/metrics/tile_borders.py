"""The seam score of an image that may not fit in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.metrics.bootstrap import Bootstrap
from infbrush_wsi.metrics.result import MetricResult
from infbrush_wsi.metrics.seams import gradient_ratio

if TYPE_CHECKING:
    from infbrush_wsi.sources import Source


def seam_score(
    sources: Iterable[Source],
    tile: int,
    *,
    period: int = 1,
    windows: int = 16,
    bootstrap: Bootstrap | None = None,
    seed: int = 0,
) -> MetricResult:
    """Gradient energy on the borders of tiles over that elsewhere, in random windows of 2 x 2 tiles at level 0.

    Args:
        sources: images whose tiles begin at their corner; those without a border are left out.
        tile: side of a tile in pixels.
        period: of the model's own texture in pixels, see `gradient_ratio`; must divide `tile`.
        windows: most windows read of each image; all, if there are no more.
        bootstrap: of the windows; None for the default.
        seed: of the choice of windows.

    Returns:
        'seam': 1 without seams, larger where they are steps, smaller where they are blurred.

    Raises:
        ConfigError: if the tile is smaller than four pixels, or the period does not divide it.
        RegionError: if no image has a border between tiles.
    """
    if tile < 4 or period < 1 or tile % period or windows < 1:
        raise ConfigError(f"tiles of {tile} pixels with a period of {period} and {windows} windows make no sense")
    how = bootstrap or Bootstrap()
    rng = np.random.default_rng(seed)
    found = [gradient_ratio(pixels, [tile], period).value for pixels in _windows(sources, tile, windows, rng)]
    if not found:
        raise RegionError(f"no image is larger than {tile} pixels along both sides, so there is no border to look at")
    ratios = np.array(found)
    drawn = how.weights(np.arange(len(ratios)), 0)
    low, high = how.interval(drawn @ ratios / drawn.sum(axis=1))
    settings = {"tile": tile, "period": period, "windows": len(ratios), "seed": seed, "resamples": how.resamples}
    return MetricResult("seam", float(ratios.mean()), low, high, 0, len(ratios), settings | {"level": how.level})


def _windows(
    sources: Iterable[Source], tile: int, count: int, rng: np.random.Generator
) -> Iterable[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    for source in sources:
        shape = source.lattice.shape
        # The second tile may be cut off by the edge of the image; half of it is enough.
        corners = [
            (x, y)
            for y in range(0, shape.h - tile - tile // 2 + 1, tile)
            for x in range(0, shape.w - tile - tile // 2 + 1, tile)
        ]
        for index in rng.permutation(len(corners))[:count]:
            x, y = corners[index]
            yield source.read_box(Box(x, y, min(2 * tile, shape.w - x), min(2 * tile, shape.h - y)))
