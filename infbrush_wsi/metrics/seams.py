"""Do borders of tiles and frames show? Gradient energy and local variance on them over the same elsewhere.

Both are measured along rows and along columns and averaged, with the standard error that follows from the scatter
from border to border. One is the value of an image without seams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.errors import RegionError

NEIGHBOURHOOD = 7
"""Pixels along a side of the windows whose variance is taken."""
GROUPS = 16
"""Lines a few pixels apart are alike: the scatter is that between so many groups of neighbours."""
Image = NDArray[np.number[Any]]


@dataclass(frozen=True)
class Ratio:
    """A mean on borders over the mean elsewhere, and its standard error."""

    value: float
    error: float


def gradient_ratio(image: Image, borders: Sequence[int], period: int = 1) -> Ratio:
    """Energy of the step from one pixel to the next over borders (between b - 1 and b) and over all others.

    Args:
        image: (h, w, C), any unit.
        borders: first pixels behind a border, the same for rows and columns; those outside are left out.
        period: of the model's own texture (side of a grid cell in pixels): lines are compared with those at the same
            place in their cell.

    Raises:
        RegionError: if no border lies in the image, or nothing but borders.
    """
    pixels = _pixels(image)
    steps = [(np.diff(pixels, axis=axis) ** 2).mean(axis=(1 - axis, 2)) for axis in (0, 1)]
    return _on_over_off(steps, [b - 1 for b in borders], period)


def variance_ratio(image: Image, strips: Sequence[tuple[int, int]], period: int = 1) -> Ratio:
    """Local variance within strips (first, end) of rows and of columns, over that elsewhere; see `gradient_ratio`.

    Frames that were averaged where they overlap are smoother there: the ratio falls below one.

    Raises:
        RegionError: if no strip lies in the image, or nothing but strips.
    """
    from scipy.ndimage import uniform_filter

    pixels = _pixels(image)
    window = (NEIGHBOURHOOD, NEIGHBOURHOOD, 0)
    mean = uniform_filter(pixels, window, mode="reflect")
    variance = (uniform_filter(pixels**2, window, mode="reflect") - mean**2).mean(axis=2)
    lines = [at for first, end in strips for at in range(first, end)]
    return _on_over_off([variance.mean(axis=1 - axis) for axis in (0, 1)], lines, period)


def _pixels(image: Image) -> NDArray[np.float64]:
    found = np.asarray(image, dtype=np.float64)
    if found.ndim != 3 or min(found.shape[:2]) < 2:
        raise RegionError(f"seams are looked for in images (h, w, C), not in {found.shape}")
    return found


def _on_over_off(lines: Sequence[NDArray[Any]], borders: Sequence[int], period: int) -> Ratio:
    relative = np.concatenate([_relative(lines, axis, borders, period) for axis in range(len(lines))])
    relative = relative[np.isfinite(relative)]
    if not len(relative):
        raise RegionError("no border lies inside the image, or there is nothing else to compare with")
    groups = [part.mean() for part in np.array_split(relative, min(GROUPS, len(relative)))]
    return Ratio(float(relative.mean()), float(np.std(groups) / np.sqrt(len(groups))))


def _relative(lines: Sequence[NDArray[Any]], axis: int, borders: Sequence[int], period: int) -> NDArray[np.float64]:
    """Values on the borders of one axis over the mean of both axes elsewhere, at the same place in the period."""
    elsewhere = np.full(period, np.nan)
    for at in range(period):
        off = [np.delete(values, [b for b in borders if 0 <= b < len(values)]) for values in _marked(lines, at, period)]
        means = [float(np.nanmean(values)) for values in off if np.isfinite(values).any()]
        elsewhere[at] = np.mean(means) if means else np.nan
    on = np.array(sorted({b for b in borders if 0 <= b < len(lines[axis])}), dtype=np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(lines[axis][on] / elsewhere[on % period])


def _marked(lines: Sequence[NDArray[Any]], at: int, period: int) -> list[NDArray[np.float64]]:
    """The lines with NaN wherever they are not at the place `at` of the period."""
    return [np.where(np.arange(len(values)) % period == at, values, np.nan) for values in lines]
