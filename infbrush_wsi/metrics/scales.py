"""Do the levels of a pyramid show the same picture?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.metrics.bootstrap import Bootstrap
from infbrush_wsi.metrics.result import MetricResult

if TYPE_CHECKING:
    from infbrush_wsi.sources import Source

WHOLE_WITHIN = 0.01
"""Levels are compared if the ratio of their pixel sizes is a whole number within one per cent."""


def scale_consistency(
    sources: Iterable[Source],
    *,
    windows: int = 16,
    side: int = 128,
    bootstrap: Bootstrap | None = None,
    seed: int = 0,
) -> list[MetricResult]:
    """Root mean square difference between each level and the box average of the next finer one.

    Args:
        sources: images with more than one level; others are left out.
        windows: random windows read of each level of each image.
        side: of a window in pixels of the coarser level; smaller levels are read whole.
        bootstrap: of the windows; None for the default.
        seed: of the choice of windows.

    Returns:
        'scale_1', 'scale_2', ... by level, in grey levels (0 to 255). Zero to half a grey level is rounding; real
        slides, whose levels are compressed one by one, have more.

    Raises:
        ConfigError: if there is no window.
        RegionError: if no image has two levels that can be compared.
    """
    if windows < 1 or side < 1:
        raise ConfigError(f"{windows} windows of {side} pixels make no sense")
    how, rng = bootstrap or Bootstrap(), np.random.default_rng(seed)
    errors: dict[int, list[float]] = {}
    for source in sources:
        for level in range(1, source.level_count):
            for difference in _differences(source, level, windows, side, rng):
                errors.setdefault(level, []).append(float(np.square(difference).mean()))
    if not errors:
        raise RegionError("no image has two levels whose pixel sizes have a whole ratio, so no scales can be compared")
    said = {"windows": windows, "side": side, "seed": seed, "unit": "grey levels", "resamples": how.resamples}
    return [_result(level, np.array(found), how, said) for level, found in sorted(errors.items())]


def _result(level: int, squared: NDArray[np.float64], how: Bootstrap, said: dict[str, object]) -> MetricResult:
    drawn = how.weights(np.arange(len(squared)), level)
    values = np.sqrt(drawn @ squared / drawn.sum(axis=1))
    return MetricResult(
        f"scale_{level}", float(values[0]), *how.interval(values), 0, len(squared), {**said, "level": how.level}
    )


def _differences(
    source: Source, level: int, windows: int, side: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Coarse pixels less means of fine ones, window by window: (h, w, C)."""
    fine, coarse = source.levels[level - 1], source.levels[level]
    exact = coarse.downsample / fine.downsample
    factor = round(exact)
    if factor < 2 or abs(exact - factor) > WHOLE_WITHIN * factor:
        return
    # A last row or column of which the finer level has only a part is left out.
    h = min(coarse.lattice.shape.h, fine.lattice.shape.h // factor)
    w = min(coarse.lattice.shape.w, fine.lattice.shape.w // factor)
    wide, high = min(side, w), min(side, h)
    for _ in range(windows):
        x, y = int(rng.integers(w - wide + 1)), int(rng.integers(h - high + 1))
        seen = source.read_box(Box(x, y, wide, high), level).astype(np.float64)
        below = source.read_box(Box(x * factor, y * factor, wide * factor, high * factor), level - 1)
        blocks = below.reshape(high, factor, wide, factor, -1).astype(np.float64)
        yield seen - blocks.mean(axis=(1, 3))
