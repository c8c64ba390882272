"""A layout of embeddings: every cell of a grid has its own, bilinear in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.conditioning.layout.base import Indices, Integers, Layout, check_cell
from infbrush_wsi.conditioning.layout.condition import Condition
from infbrush_wsi.conditioning.layout.packing import Pack, unpack
from infbrush_wsi.errors import ConditionError

Outside = Literal["edge", "wrap", "mirror"]
MAX_BYTES = 1 << 31


class CellConditions(Sequence[Condition]):
    """The rows of an array as conditions; each becomes a tuple only when it is asked for.

    Attributes:
        array: float32 (count, D).
    """

    def __init__(self, array: NDArray[np.float32]) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, key: int) -> Condition: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Condition, ...]: ...
    def __getitem__(self, key: int | slice) -> Condition | tuple[Condition, ...]:
        values = self.array[key].tolist()
        return tuple(map(tuple, values)) if isinstance(key, slice) else tuple(values)


class EmbeddingGrid(Layout):
    """An embedding for every cell of a grid that begins in the canvas's top left corner.

    Args:
        embeddings: finite numbers (rows, columns, D), kept as float32.
        cell: side of a cell in units of the canvas.
        outside: what lies beyond the grid: its 'edge', the grid again ('wrap'), or its 'mirror' image.

    Attributes:
        embeddings: float32 (rows, columns, D), read-only.
        outside: as given.

    Raises:
        ConditionError: if the embeddings are no such array, or an argument is not valid.
    """

    kind: ClassVar[str] = "grid"

    def __init__(self, embeddings: ArrayLike, cell: float, outside: Outside = "edge") -> None:
        try:
            array = np.array(embeddings, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ConditionError(f"an embedding grid must be an array of numbers: {error}") from error
        if array.ndim != 3 or array.size == 0 or not np.isfinite(array).all():
            raise ConditionError(
                f"an embedding grid must be finite with shape (rows, columns, D), not {array.shape} "
                f"({int(array.size - np.isfinite(array).sum())} values not finite)"
            )
        if array.nbytes > MAX_BYTES:
            raise ConditionError(f"an embedding grid of {array.nbytes >> 20} MiB is too large; give it larger cells")
        if outside not in get_args(Outside):
            raise ConditionError(f"outside must be {', '.join(get_args(Outside))}, not {outside!r}")
        array.flags.writeable = False
        self.embeddings: NDArray[np.float32] = array
        self.cell = check_cell(cell)
        self.outside: Outside = outside

    @property
    def conditions(self) -> CellConditions:
        """The embeddings row by row; ``conditions.array`` has them as one array."""
        return CellConditions(self.embeddings.reshape(-1, self.embeddings.shape[2]))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> EmbeddingGrid:
        """From the content of its JSON.

        Raises:
            ConditionError: if it is damaged.
        """
        return cls(unpack(record["embeddings"], ("float32",), 3), record["cell"], record["outside"])

    def _nodes(self, rows: Integers, columns: Integers) -> Indices:
        h, w, _ = self.embeddings.shape
        cells: Integers = _inside(rows, h, self.outside) * w + _inside(columns, w, self.outside)
        return cells.astype(np.int32)

    def _record(self, pack: Pack) -> dict[str, Any]:
        return {"embeddings": pack(self.embeddings), "outside": self.outside}


def _inside(numbers: Integers, count: int, outside: Outside) -> Integers:
    """The cell among `count` that each number means."""
    if outside == "edge":
        return np.minimum(np.maximum(numbers, 0), count - 1)
    if outside == "wrap":
        return numbers % count
    folded = numbers % (2 * count)
    return np.minimum(folded, 2 * count - 1 - folded)
