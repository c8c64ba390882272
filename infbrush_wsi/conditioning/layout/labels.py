"""A layout as a label image: whole numbers whose names are its conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.conditioning.layout.base import Layout
from infbrush_wsi.conditioning.layout.condition import Condition, condition_name
from infbrush_wsi.conditioning.layout.grid import EmbeddingGrid
from infbrush_wsi.domain import Box

MAX_NAMES = 1024
"""More labels than these have no names: viewers load them all at once."""


@dataclass(frozen=True)
class LabelMap:
    """What a label image of a layout is made of.

    Attributes:
        read: labels at the layout's nodes in a window, int32 (box.h, box.w).
        names: of the labels that have one; 0 is no condition and has none.
        dtype: that holds them all.
    """

    read: Callable[[Box], NDArray[np.int32]]
    names: dict[int, str]
    dtype: Literal["uint8", "uint16", "int32"]


def label_map(layout: Layout) -> LabelMap:
    """Number a layout's conditions: 0 is no condition, as viewers expect, the others follow from 1 in their order."""
    numbers = label_numbers(layout)
    largest = int(numbers.max())
    names: dict[int, str] = {}
    if largest <= MAX_NAMES:
        for index, number in enumerate(numbers.tolist()):
            if number:
                names[number] = label_name(layout.conditions[index], number)
    dtype: Literal["uint8", "uint16", "int32"] = "uint8" if largest < 1 << 8 else "uint16"
    return LabelMap(_Numbered(layout, numbers), names, dtype if largest < 1 << 16 else "int32")


def label_numbers(layout: Layout) -> NDArray[np.int32]:
    """Labels of a layout's conditions in their order, int32; 0 is no condition."""
    if isinstance(layout, EmbeddingGrid):
        return np.arange(1, len(layout.conditions) + 1, dtype=np.int32)
    given = np.array([condition is not None for condition in layout.conditions])
    return np.where(given, np.cumsum(given), 0).astype(np.int32)


def label_name(condition: Condition, number: int) -> str:
    """What a reader calls a label: its class, a numbered embedding, or 'no condition'."""
    if condition is None or isinstance(condition, str):
        return condition_name(condition)
    return f"{condition_name(condition)} {number}"


@dataclass(frozen=True)
class _Numbered:
    """Reads a layout's indices as labels; a class, so that it can be sent to another process."""

    layout: Layout
    numbers: NDArray[np.int32]

    def __call__(self, box: Box) -> NDArray[np.int32]:
        return self.numbers[self.layout.index(box)]
