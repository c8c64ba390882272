"""An image as the page shows it, whether it is read from a file or computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.canvas.canvas import Canvas
from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import RegionError
from infbrush_wsi.sources.base import Source
from infbrush_wsi.view.facts import image_facts, made_facts
from infbrush_wsi.view.levels import ShownLevel, shown_levels

SOURCE_TILE = 512
CANVAS_TILE = 256
"""Smaller than a source's: the first pixels of a canvas take seconds."""
OVERLAP = 1
"""Pixels that tiles share on each side, as in DeepZoom: without, the viewer would stretch them to hide seams."""


@dataclass(frozen=True)
class Shown:
    """One image of a page.

    Attributes:
        title: its name on the page.
        read: pixels of a box inside a level of the image, uint8 (h, w, C).
        shapes: of the image's levels, finest first.
        lattice: its level 0 in physical space.
        levels: what the page shows.
        tile: side of the tiles in pixels, without what they share with their neighbours.
        synthetic: whether it is marked as synthetic.
        virtual: whether its pixels are computed when they are looked at.
        facts: what is written beside it.
    """

    title: str
    read: Callable[[Box, int], NDArray[np.uint8]]
    shapes: tuple[Shape, ...]
    lattice: Lattice
    levels: tuple[ShownLevel, ...]
    tile: int
    synthetic: bool
    virtual: bool
    facts: Mapping[str, str] = field(default_factory=dict)

    def pixels(self, level: int, column: int, row: int) -> NDArray[np.uint8]:
        """A tile, and `OVERLAP` pixels around it, as a picture: uint8 (h, w, 3), or (h, w) below three channels.

        Args:
            level: of the page, 0 is the finest.
            column: of the tile.
            row: of the tile.

        Raises:
            RegionError: if there is no such level or tile.
        """
        if not 0 <= level < len(self.levels):
            raise RegionError(f"{self.title} has no level {level}: its levels are 0 to {len(self.levels) - 1}")
        shown = self.levels[level]
        box = shown.box(column, row, self.tile, OVERLAP)
        if min(column, row) < 0 or box.empty:
            raise RegionError(f"{self.title} has no tile in column {column}, row {row} of level {level}")
        values = self.read(shown.footprint(box, self.shapes[shown.index]), shown.index)
        picture = values[..., :3] if values.shape[2] >= 3 else values[..., 0]
        return block_means(picture, shown.block)


def block_means(pixels: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    """Means of blocks of pixels, smaller ones at the right and bottom; of side 1 they are the pixels."""
    if block == 1:
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).reduce(block))


def shown(thing: Source | Canvas, *, title: str | None = None, provenance: Mapping[str, Any] | None = None) -> Shown:
    """Get an image ready for a page; nothing is read or computed.

    Args:
        thing: a source, or a canvas, which becomes a virtual slide.
        title: its name on the page; None: the file's, or class and seed.
        provenance: how it was made, if its own metadata do not say it.
    """
    return _of_canvas(thing, title) if isinstance(thing, Canvas) else _of_source(thing, title, provenance)


def _of_source(source: Source, title: str | None, provenance: Mapping[str, Any] | None) -> Shown:
    record = provenance or source.metadata.get("provenance") or {}
    shapes = tuple(level.lattice.shape for level in source.levels)
    reader = str(source.metadata.get("reader", source.name))
    facts = image_facts(source.lattice, source.level_count, source.channel_names)
    return Shown(
        title=title or PurePath(source.path.rstrip("/")).name or source.path,
        read=source.read_box,
        shapes=shapes,
        lattice=source.lattice,
        levels=shown_levels(shapes, [level.downsample for level in source.levels], SOURCE_TILE),
        tile=SOURCE_TILE,
        synthetic=bool(record.get("synthetic") or source.metadata.get("synthetic")),
        virtual=False,
        facts=made_facts(record) | facts | {"read by": reader},
    )


def _of_canvas(canvas: Canvas, title: str | None) -> Shown:
    def read(box: Box, level: int) -> NDArray[np.uint8]:
        return canvas.read_region((box.x0 << level, box.y0 << level), level, (box.w, box.h))

    record = canvas.provenance
    shapes = tuple(Shape(*shape) for shape in canvas.level_shapes)
    facts = image_facts(canvas.lattice, canvas.level_count, canvas.channel_names)
    return Shown(
        title=title or f"{record['condition'] or 'image'}, seed {record['seed']}",
        read=read,
        shapes=shapes,
        lattice=canvas.lattice,
        levels=shown_levels(shapes, [float(1 << level) for level in range(len(shapes))], CANVAS_TILE),
        tile=CANVAS_TILE,
        synthetic=True,
        virtual=True,
        facts=made_facts(record) | facts,
    )
