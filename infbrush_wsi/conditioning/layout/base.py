"""A layout: which condition a generated image has where, in physical units."""

from __future__ import annotations

import abc
import hashlib
import json
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.conditioning.layout.bilinear import (
    MAX_VALUES,
    check_coordinates,
    nodes_around,
    scatter_pairs,
    scatter_product,
)
from infbrush_wsi.conditioning.layout.condition import Condition, condition_name
from infbrush_wsi.conditioning.layout.packing import Pack, digest, pack
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConditionError, RegionError
from infbrush_wsi.formats import LAYOUT

NODES_AT_ONCE = 1 << 20
MAX_LISTED = 64
"""More conditions than these are counted and not listed in the record of an image."""

Indices = NDArray[np.int32]
Integers = NDArray[np.int64]
Weights = NDArray[np.float32]


class Layout(abc.ABC):
    """An integer map on the nodes of an endless square lattice, bilinear in between.

    Node (column j, row i) lies at ``((j + 0.5) * cell, (i + 0.5) * cell)`` from the canvas's top left corner, y
    downwards, whatever the canvas's size or pixels. A layout is a function of its content alone: every window of it is
    the same numbers, from any thread or process. Equal layouts have equal tokens.

    Attributes:
        kind: name of the class in JSON.
        cell: distance of the nodes in units of the canvas (µm for slides, CRS units for rasters).
    """

    kind: ClassVar[str]
    cell: float

    @property
    @abc.abstractmethod
    def conditions(self) -> Sequence[Condition]:
        """What the indices mean."""

    @abc.abstractmethod
    def _nodes(self, rows: Integers, columns: Integers) -> Indices:
        """Indices at nodes: int64 (N,) rows in ascending order and (N,) columns to int32 (N,)."""

    @abc.abstractmethod
    def _record(self, pack: Pack) -> dict[str, Any]:
        """All that determines it besides kind and cell, as plain JSON; arrays as `pack` has them."""

    def index(self, box: Box) -> Indices:
        """Condition indices at the nodes of a window, int32 (box.h, box.w).

        Raises:
            RegionError: if the window is empty or too large for memory.
        """
        if box.empty:
            raise RegionError(f"a window of a layout needs a positive size, not {box.w} x {box.h} nodes")
        return self._product(np.arange(box.y0, box.y1), np.arange(box.x0, box.x1))

    def weights(self, y: ArrayLike, x: ArrayLike) -> tuple[Indices, Weights]:
        """Bilinear weights on the product of rows and columns.

        Args:
            y: (h,) distances of the rows from the canvas's top edge, in its units.
            x: (w,) distances of the columns from its left edge.

        Returns:
            indices (K,) of the conditions at the surrounding nodes, ascending, and their weights, float32 (h, w, K),
            which sum to one.

        Raises:
            RegionError: if a coordinate is not finite or beyond the lattice, or the answer too large for memory.
        """
        row, down = nodes_around(check_coordinates(y, self.cell, "y", 1), self.cell)
        column, right = nodes_around(check_coordinates(x, self.cell, "x", 1), self.cell)
        rows, columns = np.unique([row, row + 1]), np.unique([column, column + 1])
        present, local = np.unique(self._product(rows, columns), return_inverse=True)
        self._check_size(len(row) * len(column), len(present))
        local = local.reshape(len(rows), len(columns))
        at = np.searchsorted(rows, row), np.searchsorted(columns, column)
        return present, scatter_product(local, len(present), at, (down, right))

    def weights_at(self, yx: ArrayLike) -> tuple[Indices, Weights]:
        """Bilinear weights at scattered points.

        Args:
            yx: (N, 2) distances from the canvas's top and left edge, in its units.

        Returns:
            indices (K,) of the conditions at the surrounding nodes, ascending, and weights, float32 (N, K).

        Raises:
            RegionError: as `weights`.
        """
        points = check_coordinates(yx, self.cell, "yx", 2)
        node, share = nodes_around(points, self.cell)
        if not len(node):
            return np.empty(0, np.int32), np.empty((0, 0), np.float32)
        corner, extent = node.min(axis=0), int(np.ptp(node[:, 1])) + 2
        local = node - corner
        keys = np.stack([(local[:, 0] + i) * extent + local[:, 1] + j for i in (0, 1) for j in (0, 1)])
        nodes, back = np.unique(keys, return_inverse=True)
        found = self._nodes(nodes // extent + corner[0], nodes % extent + corner[1])
        present, which = np.unique(found, return_inverse=True)
        self._check_size(len(points), len(present))
        return present, scatter_pairs(which[back.reshape(keys.shape)], len(present), share)

    @cached_property
    def token(self) -> str:
        """SHA-256 of all that determines it, as 64 hexadecimal digits."""
        # Arrays by their own digests: what they are deflated to depends on the library.
        return hashlib.sha256(self._text(digest).encode()).hexdigest()

    def to_json(self) -> str:
        """The whole layout as text, from which `layout_from_json` makes an equal one."""
        return self._text(pack)

    def _text(self, pack: Pack) -> str:
        record = {"layout": LAYOUT.stamp, "kind": self.kind, "cell": self.cell, **self._record(pack)}
        return json.dumps(record, sort_keys=True, allow_nan=False, separators=(",", ":"))

    def provenance(self) -> dict[str, Any]:
        """What an image that follows it records: kind, cell, token, and the names of few conditions."""
        count = len(self.conditions)
        listed = [condition_name(self.conditions[k]) for k in range(count)] if count <= MAX_LISTED else count
        return {"kind": self.kind, "cell": self.cell, "token": self.token, "conditions": listed}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self.token == other.token

    def __hash__(self) -> int:
        return hash(self.token)

    def __dask_tokenize__(self) -> str:
        return self.token

    def _product(self, rows: Integers, columns: Integers) -> Indices:
        """Indices at all nodes of some rows and columns, int32 (len(rows), len(columns)), a band at a time."""
        if len(rows) * len(columns) > MAX_VALUES:
            raise RegionError(
                f"{len(rows)} x {len(columns)} nodes of a layout will not fit in memory; ask for them in parts"
            )
        out = np.empty((len(rows), len(columns)), np.int32)
        band = max(1, NODES_AT_ONCE // max(1, len(columns)))
        for first in range(0, len(rows), band):
            some = rows[first : first + band]
            found = self._nodes(np.repeat(some, len(columns)), np.tile(columns, len(some)))
            out[first : first + band] = found.reshape(len(some), len(columns))
        return out

    def _check_size(self, points: int, conditions: int) -> None:
        if points * conditions > MAX_VALUES:
            raise RegionError(
                f"{points} points of a layout have weights for {conditions} conditions, too many for memory: ask for "
                f"smaller parts, or give the layout larger cells than {self.cell:g}"
            )


def check_cell(cell: float, what: str = "the cell of a layout") -> float:
    """A length that is positive and finite.

    Raises:
        ConditionError: if it is not.
    """
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ConditionError(f"{what} must be a positive length in units of the canvas, not {cell!r}")
    return value
