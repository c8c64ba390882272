"""The layout of an image that is everywhere of one kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from infbrush_wsi.conditioning.layout.base import Indices, Integers, Layout, check_cell
from infbrush_wsi.conditioning.layout.condition import Condition, as_condition, conditions_from_json
from infbrush_wsi.conditioning.layout.packing import Pack


@dataclass(frozen=True, eq=False)
class UniformLayout(Layout):
    """One condition everywhere; made by `uniform`.

    Attributes:
        condition: the condition.
        cell: distance of the nodes in units of the canvas.
    """

    kind: ClassVar[str] = "uniform"
    condition: Condition
    cell: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "condition", as_condition(self.condition))
        object.__setattr__(self, "cell", check_cell(self.cell))

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The one condition."""
        return (self.condition,)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> UniformLayout:
        """From the content of its JSON."""
        return cls(conditions_from_json([record["condition"]])[0], record["cell"])

    def _nodes(self, rows: Integers, columns: Integers) -> Indices:
        return np.zeros(len(rows), np.int32)

    def _record(self, pack: Pack) -> dict[str, Any]:
        return {"condition": self.condition}


def uniform(condition: str | ArrayLike | None, cell: float = 1.0) -> UniformLayout:
    """One condition everywhere.

    Args:
        condition: name of a class, an embedding (D,) or (M, D), or None.
        cell: distance of the nodes in units of the canvas; says only how large the pixels of a label image are.

    Raises:
        ConditionError: if it can be no condition, or the cell is not positive.
    """
    return UniformLayout(as_condition(condition), cell)
