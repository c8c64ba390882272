"""Embedding grids of a real image: more like this, but elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.conditioning.layout.base import check_cell
from infbrush_wsi.conditioning.layout.grid import EmbeddingGrid, Outside
from infbrush_wsi.domain import MICROMETERS_PER_UNIT, Box
from infbrush_wsi.errors import ConditionError, ConfigError

if TYPE_CHECKING:
    from infbrush_wsi.sources.base import Source
    from infbrush_wsi.sources.view import ResampledView

Encoder = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Patches uint8 (n, h, w, C) to embeddings float32 (n, D)."""
Arrangement = Literal["shift", "flip", "shuffle"]
MAX_CELLS = 1 << 22


def embedding_grid(
    source: Source,
    encoder: Encoder,
    *,
    cell: float,
    patch: int,
    spacing: float,
    unit: str = "micrometer",
    batch: int = 64,
    outside: Outside = "edge",
) -> EmbeddingGrid:
    """Embed the middle of every cell of an image; patches are read and embedded a batch at a time.

    Args:
        source: a slide or raster with a known pixel size.
        encoder: what makes embeddings; use the one whose embeddings the model was trained with.
        cell: side of a cell in `unit`.
        patch: side of the patches in pixels; beyond the image they are mirrored.
        spacing: pixel size of the patches in `unit` (mpp for slides).
        unit: of lengths here and on the canvas: 'micrometer', or that of the raster's CRS.
        batch: patches given to the encoder at a time.
        outside: what the grid has beyond the image, see `EmbeddingGrid`.

    Raises:
        ConditionError: if there would be too many cells, or the encoder gives no finite (n, D).
        ConfigError: if the unit, patch or batch is not valid.
        MissingMppError: if the source does not say its pixel size.
        CorruptSourceError: if the source is damaged.
    """
    if patch < 1 or batch < 1:
        raise ConfigError(f"patch and batch must be at least 1, not {patch} and {batch}")
    cell, spacing = check_cell(cell), check_cell(spacing, "the pixel size of patches")
    factor = _factor(unit, source.lattice.unit)
    view = source.at(spacing * factor)
    rows, columns = (_count(side, cell * factor) for side in (view.lattice.extent.h, view.lattice.extent.w))
    if rows * columns > MAX_CELLS:
        raise ConditionError(f"{source.path} would have {rows} x {columns} cells of {cell:g} {unit}; make them larger")
    # A source of unknown pixel size has been refused by now.
    boxes = [_patch(view, row, column, cell * factor, patch) for row in range(rows) for column in range(columns)]
    parts = [_embed(view, encoder, boxes[first : first + batch]) for first in range(0, len(boxes), batch)]
    if len({part.shape[1] for part in parts}) > 1:
        raise ConditionError("the encoder's embeddings have different widths from batch to batch")
    return EmbeddingGrid(np.concatenate(parts).reshape(rows, columns, -1), cell, outside)


def rearranged(grid: EmbeddingGrid, seed: int, how: Arrangement = "shift") -> EmbeddingGrid:
    """The same embeddings at other places.

    Args:
        grid: what to rearrange.
        seed: chooses how.
        how: 'shift' moves the grid by whole cells, what leaves it coming in at the other side; 'flip' mirrors it and,
            if it is square, may turn it; 'shuffle' gives every cell the embedding of any other.

    Raises:
        ConditionError: if `how` is not known.
        ConfigError: if the seed is negative.
    """
    if how not in get_args(Arrangement):
        raise ConditionError(f"a grid can be rearranged by {', '.join(get_args(Arrangement))}, not {how!r}")
    if seed < 0:
        raise ConfigError(f"a seed must not be negative, it is {seed}")
    random, values = np.random.default_rng(seed), grid.embeddings
    rows, columns, width = values.shape
    if how == "shift":
        moved = np.roll(values, (random.integers(rows), random.integers(columns)), axis=(0, 1))
    elif how == "flip":
        down, right, turned = random.integers(2, size=3)
        moved = values[:: -1 if down else 1, :: -1 if right else 1]
        moved = moved.transpose(1, 0, 2) if turned and rows == columns else moved
    else:
        moved = random.permutation(values.reshape(-1, width)).reshape(values.shape)
    return EmbeddingGrid(moved, grid.cell, grid.outside)


def _factor(unit: str, of_source: str) -> float:
    """Units of the source in one of the caller's."""
    if unit == of_source or of_source == "pixel":
        return 1.0
    lengths = MICROMETERS_PER_UNIT.get(unit), MICROMETERS_PER_UNIT.get(of_source)
    if lengths[0] is None or lengths[1] is None:
        raise ConfigError(
            f"the image is measured in {of_source}, which cannot be told from {unit}; give unit={of_source!r}"
        )
    return lengths[0] / lengths[1]


def _count(length: float, cell: float) -> int:
    """Cells that cover a length; what rounding leaves over makes no further one."""
    return max(1, math.ceil(length / cell - 1e-6))


def _patch(view: ResampledView, row: int, column: int, cell: float, side: int) -> Box:
    spacing = view.lattice.spacing
    x = round((column + 0.5) * cell / spacing.x - side / 2)
    y = round((row + 0.5) * cell / spacing.y - side / 2)
    return Box(x, y, side, side)


def _embed(view: ResampledView, encoder: Encoder, boxes: list[Box]) -> NDArray[np.float32]:
    patches = np.stack([view.read(box, fill="reflect") for box in boxes])
    found = np.asarray(encoder(patches))
    if found.ndim != 2 or len(found) != len(boxes) or found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise ConditionError(
            f"the encoder made an array of {found.dtype} and shape {found.shape} of {len(boxes)} patches; it must be "
            f"finite numbers ({len(boxes)}, D)"
        )
    return found.astype(np.float32)
