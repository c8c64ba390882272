"""Do borders of tiles and frames show? Gradient energy and local variance on them over the same elsewhere.

Not a benchmark itself, see canvas.py. Both are measured along rows and along columns and averaged, with the standard
error that follows from the scatter from border to border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

NEIGHBOURHOOD = 7
"""Pixels along a side of the windows whose variance is taken."""
Image = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Ratio:
    """A mean on borders over the mean elsewhere, and its standard error."""

    value: float
    error: float


def gradient_ratio(image: Image, borders: Sequence[int], period: int) -> Ratio:
    """Energy of the step from one pixel to the next over borders (between b - 1 and b) and over all others.

    Args:
        image: (h, w, C), square.
        borders: first pixels behind a border, the same for rows and columns.
        period: of the model's own texture (side of a grid cell in pixels): lines are compared with those at the same
            place in their cell.
    """
    steps = [(np.diff(image, axis=axis) ** 2).mean(axis=(1 - axis, 2)) for axis in (0, 1)]
    return _on_over_off(steps, [b - 1 for b in borders if 0 < b < len(image)], period)


def variance_ratio(image: Image, strips: Sequence[tuple[int, int]], period: int) -> Ratio:
    """Local variance within strips (first, end) of rows and of columns, over that elsewhere; see `gradient_ratio`."""
    mean = uniform_filter(image, (NEIGHBOURHOOD, NEIGHBOURHOOD, 0), mode="reflect")
    power = uniform_filter(image**2, (NEIGHBOURHOOD, NEIGHBOURHOOD, 0), mode="reflect")
    variance = (power - mean**2).mean(axis=2)
    lines = [at for first, end in strips for at in range(first, end) if 0 <= at < len(image)]
    return _on_over_off([variance.mean(axis=1 - axis) for axis in (0, 1)], lines, period)


def _on_over_off(lines: Sequence[NDArray[Any]], borders: Sequence[int], period: int) -> Ratio:
    on = np.zeros(len(lines[0]), bool)
    on[list(borders)] = True
    phase = np.arange(len(on)) % period
    elsewhere = np.ones(period)
    for at in range(period):
        off = ~on & (phase == at)
        elsewhere[at] = np.mean([values[off].mean() for values in lines]) if off.any() else np.nan
    relative = np.concatenate([values[on] / elsewhere[phase[on]] for values in lines])
    relative = relative[np.isfinite(relative)]
    # Lines a few pixels apart are alike: the scatter is that between sixteen groups of neighbours.
    groups = [part.mean() for part in np.array_split(relative, min(16, len(relative)))]
    return Ratio(float(relative.mean()), float(np.std(groups) / np.sqrt(len(groups))))
