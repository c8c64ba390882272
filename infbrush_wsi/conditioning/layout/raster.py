"""A layout from a label raster: the condition of a node is that of the pixel it lies in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from affine import Affine
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.conditioning.layout.base import Indices, Integers, Layout, check_cell
from infbrush_wsi.conditioning.layout.condition import Condition, as_condition, conditions_from_json
from infbrush_wsi.conditioning.layout.packing import Pack, unpack
from infbrush_wsi.conditioning.layout.place import check_offset
from infbrush_wsi.domain import XY
from infbrush_wsi.errors import ConditionError

MAX_PIXELS = 1 << 28
PIXELS_AT_ONCE = 1 << 22
MAX_CONDITIONS = 1 << 16


class RasterLayout(Layout):
    """Conditions from the values of an image.

    The value 0 is the background unless `conditions` says otherwise; every other value must be named. Beyond the image
    is background.

    Args:
        values: integers (h, w), rows downwards.
        conditions: condition of each value.
        pixel: side of a pixel in units of the canvas, or (x, y).
        cell: distance of the nodes; None: the pixel's width, and then nodes are pixel centres.
        background: condition of everything else.
        offset: (x, y) of the canvas's top left corner, from the image's top left corner, in units of the canvas.

    Raises:
        ConditionError: if the values are no integers (h, w), one of them has no condition, or a length is not positive.
    """

    kind: ClassVar[str] = "raster"

    def __init__(
        self,
        values: NDArray[Any],
        conditions: Mapping[int, str | ArrayLike | None],
        pixel: float | tuple[float, float],
        cell: float | None = None,
        background: str | ArrayLike | None = None,
        offset: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        array = np.asarray(values)
        if array.ndim != 2 or array.dtype.kind not in "iu" or not 0 < array.size <= MAX_PIXELS:
            raise ConditionError(
                f"a label raster holds at most {MAX_PIXELS} whole numbers (rows, columns), not {array.dtype} values of "
                f"shape {array.shape}"
            )
        named = {int(value): as_condition(given, f"label {value}") for value, given in conditions.items()}
        indices, listed = _indices(array, named, as_condition(background, "the background"))
        self._place(indices, listed, pixel, cell, offset)

    def _place(
        self,
        indices: NDArray[Any],
        conditions: tuple[Condition, ...],
        pixel: float | tuple[float, float],
        cell: float | None,
        offset: tuple[float, float],
    ) -> None:
        x, y = pixel if isinstance(pixel, tuple | list) else (pixel, pixel)
        self._pixel = XY(check_cell(x, "the pixel of a label raster"), check_cell(y, "the pixel of a label raster"))
        self.cell = self._pixel.x if cell is None else check_cell(cell)
        self._offset = check_offset(offset)
        self._conditions = conditions
        self._indices = indices
        self._indices.flags.writeable = False

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Index 0 is the background; the others follow in the order of their values."""
        return self._conditions

    @property
    def indices(self) -> NDArray[Any]:
        """Indices of the image's pixels, uint8 or uint16 (h, w), read-only."""
        return self._indices

    @property
    def transform(self) -> Affine:
        """From pixels of the image to units of the canvas, from its top left corner."""
        return Affine.translation(-self._offset.x, -self._offset.y) @ Affine.scale(self._pixel.x, self._pixel.y)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> RasterLayout:
        """From the content of its JSON.

        Raises:
            ConditionError: if it is damaged.
        """
        made = cls.__new__(cls)
        indices = unpack(record["indices"], ("uint8", "uint16"), 2)
        conditions = conditions_from_json(record["conditions"])
        if indices.max() >= len(conditions):
            raise ConditionError("a stored label raster has indices without conditions: it is damaged; make it again")
        made._place(indices, conditions, tuple(record["pixel"]), record["cell"], tuple(record["offset"]))
        return made

    def _nodes(self, rows: Integers, columns: Integers) -> Indices:
        h, w = self._indices.shape
        row = np.floor(((rows + 0.5) * self.cell + self._offset.y) / self._pixel.y)
        column = np.floor(((columns + 0.5) * self.cell + self._offset.x) / self._pixel.x)
        inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
        found = np.zeros(len(rows), np.int32)
        found[inside] = self._indices[row[inside].astype(np.int64), column[inside].astype(np.int64)]
        return found

    def _record(self, pack: Pack) -> dict[str, Any]:
        return {
            "conditions": self._conditions,
            "indices": pack(self._indices),
            "pixel": [self._pixel.x, self._pixel.y],
            "offset": [self._offset.x, self._offset.y],
        }


def _indices(
    values: NDArray[Any], named: Mapping[int, Condition], background: Condition
) -> tuple[NDArray[Any], tuple[Condition, ...]]:
    """Indices of the pixels' conditions (uint8 or uint16), and the conditions, of which 0 is the background."""
    bands = np.array_split(values, -(-values.size // PIXELS_AT_ONCE))
    present = np.unique(np.concatenate([np.unique(band) for band in bands]))
    unnamed = [int(value) for value in present if int(value) not in named and value != 0]
    if unnamed:
        listed = ", ".join(map(str, unnamed[:10])) + (", ..." if len(unnamed) > 10 else "")
        raise ConditionError(
            f"a label raster holds the values {listed}, for which no condition is given; name them, or map them to None"
        )
    if len(present) >= MAX_CONDITIONS:
        raise ConditionError(
            f"a label raster holds {len(present)} values; at most {MAX_CONDITIONS - 1} can be told apart"
        )
    conditions: list[Condition] = [background]
    number = np.zeros(len(present), np.uint16 if len(present) > 254 else np.uint8)
    for place, value in enumerate(present.tolist()):
        if value in named:
            number[place] = len(conditions)
            conditions.append(named[value])
    return np.concatenate([number[np.searchsorted(present, band)] for band in bands]), tuple(conditions)
