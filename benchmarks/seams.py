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


def gradient_ratio(image: Image, borders: Sequence[int]) -> Ratio:
    """Energy of the step from one pixel to the next over borders (between b - 1 and b) and over all others.

    Args:
        image: (h, w, C), square.
        borders: first pixels behind a border, the same for rows and columns.
    """
    steps = [(np.diff(image, axis=axis) ** 2).mean(axis=(1 - axis, 2)) for axis in (0, 1)]
    return _on_over_off(steps, [b - 1 for b in borders if 0 < b < len(image)])


def variance_ratio(image: Image, strips: Sequence[tuple[int, int]]) -> Ratio:
    """Local variance within strips (first, end) of rows and of columns, over that elsewhere."""
    mean = uniform_filter(image, (NEIGHBOURHOOD, NEIGHBOURHOOD, 0), mode="reflect")
    power = uniform_filter(image**2, (NEIGHBOURHOOD, NEIGHBOURHOOD, 0), mode="reflect")
    variance = (power - mean**2).mean(axis=2)
    lines = [at for first, end in strips for at in range(first, end) if 0 <= at < len(image)]
    return _on_over_off([variance.mean(axis=1 - axis) for axis in (0, 1)], lines)


def _on_over_off(lines: Sequence[NDArray[Any]], borders: Sequence[int]) -> Ratio:
    on = np.zeros(len(lines[0]), bool)
    on[list(borders)] = True
    there = np.concatenate([values[on] for values in lines])
    elsewhere = np.concatenate([values[~on] for values in lines])
    # Neighbouring lines are alike, so the scatter is taken between groups of them.
    groups = [values[on][i :: max(1, on.sum() // 8)].mean() for values in lines for i in range(max(1, on.sum() // 8))]
    error = np.std(groups) / np.sqrt(len(groups)) / elsewhere.mean()
    return Ratio(float(there.mean() / elsewhere.mean()), float(error))
