"""Parts of global sums that tiles contribute, and how they add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor


class Partial(Protocol):
    """A part of a sum over points."""

    def added_to(self, total: Self | None) -> Self:
        """Add this part to `total` (in place where possible); None starts a new total that covers the image."""
        ...


@dataclass(frozen=True)
class SumPartial:
    """Plain tensors that add element by element."""

    tensors: tuple[Tensor, ...]

    def added_to(self, total: SumPartial | None) -> SumPartial:
        """See `Partial`."""
        if total is None:
            return SumPartial(tuple(t.clone() for t in self.tensors))
        for into, part in zip(total.tensors, self.tensors, strict=True):
            into += part
        return total


@dataclass(frozen=True)
class GridWindow:
    """Finished values on a window of the grid.

    Attributes:
        values: (B, C, a, b).
        origin: (row, column) of the window's first node.
    """

    values: Tensor
    origin: tuple[int, int]


@dataclass(frozen=True)
class GridPartial:
    """Weighted values and weights on a window of the grid.

    Attributes:
        numerator: (B, C, a, b) Σ weight * value at the nodes of the window.
        denominator: (1 or B, 1, a, b) Σ weight.
        origin: (row, column) of the window's first node.
        nodes: (rows, columns) of the whole grid.
    """

    numerator: Tensor
    denominator: Tensor
    origin: tuple[int, int]
    nodes: tuple[int, int]

    def added_to(self, total: GridPartial | None) -> GridPartial:
        """See `Partial`."""
        if total is None:
            total = self._empty()
        (a, b), (h, w) = self.origin, self.numerator.shape[2:]
        total.numerator[:, :, a : a + h, b : b + w] += self.numerator
        total.denominator[:, :, a : a + h, b : b + w] += self.denominator
        return total

    def mean(self) -> Tensor:
        """(B, C, rows, columns) values of the whole grid; nodes without weight are zero."""
        whole = self if tuple(self.numerator.shape[2:]) == self.nodes else self.added_to(None)
        reached = whole.denominator > 0
        return torch.where(reached, whole.numerator / torch.where(reached, whole.denominator, 1.0), 0.0)

    def _empty(self) -> GridPartial:
        numerator = self.numerator.new_zeros(*self.numerator.shape[:2], *self.nodes)
        denominator = self.denominator.new_zeros(self.denominator.shape[0], 1, *self.nodes)
        return GridPartial(numerator, denominator, (0, 0), self.nodes)
