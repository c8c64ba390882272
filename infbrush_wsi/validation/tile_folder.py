"""The tiles of a DeepZoom image as levels that can be read in windows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import CorruptSourceError, UnsupportedSourceError

Pixels = NDArray[np.uint8]
Place = tuple[int, int]
"""Column and row of a tile, as its file is named."""
LARGEST_DESCRIPTION = 1 << 16
"""Bytes; a .dzi has some two hundred."""
MOST_TILES = 1 << 20
"""Of the finest level."""
KEPT = 16
"""Tiles, decoded, of a level."""


@dataclass(frozen=True)
class Description:
    """What a .dzi says.

    Attributes:
        shape: of the whole image.
        side: of a tile without what it shares with its neighbours.
        overlap: pixels that tiles share with each neighbour.
        suffix: of the tiles' files.
    """

    shape: Shape
    side: int
    overlap: int
    suffix: str


def read_description(path: Path) -> Description:
    """Read a .dzi.

    Raises:
        UnsupportedSourceError: if it is XML of something else.
        CorruptSourceError: if it is no XML, or lacks a number.
    """
    content = path.read_bytes()
    try:
        if len(content) > LARGEST_DESCRIPTION:
            raise ValueError(f"it has {len(content)} bytes")
        root = ElementTree.fromstring(content)  # noqa: S314 (small; no entity is fetched)
    except (ElementTree.ParseError, ValueError) as error:
        raise CorruptSourceError(f"{path} is no description of a DeepZoom image: {error}") from error
    space, _, name = root.tag.rpartition("}")
    size = root.find(f"{space}}}Size" if space else "Size")
    if name != "Image":
        raise UnsupportedSourceError(f"{path} describes no DeepZoom image: its root is <{name}>, not <Image>")
    try:
        if size is None:
            raise KeyError("Size")
        shape = Shape(int(size.attrib["Height"]), int(size.attrib["Width"]))
        found = Description(
            shape, int(root.attrib["TileSize"]), int(root.attrib["Overlap"]), root.attrib["Format"].lower()
        )
    except KeyError as error:
        raise CorruptSourceError(f"{path} lacks {error.args[0]}: write the image again") from error
    except (ValueError, OverflowError) as error:
        raise CorruptSourceError(f"{path} cannot be understood: {error}") from error
    if min(shape.h, shape.w, found.side) < 1 or found.overlap < 0:
        raise CorruptSourceError(
            f"{path} speaks of {shape.w} x {shape.h} pixels in tiles of {found.side} that share {found.overlap}"
        )
    if not found.suffix.isalnum():
        raise CorruptSourceError(f"{path} names the format {found.suffix!r}, which is no suffix of files")
    if -(-shape.h // found.side) * -(-shape.w // found.side) > MOST_TILES:
        raise CorruptSourceError(
            f"{path} speaks of {shape.w} x {shape.h} pixels in tiles of {found.side}: more than {MOST_TILES} files"
        )
    return found


class TileLevel:
    """A level; indexed by two slices it gives pixels (h, w, c).

    Args:
        folder: of its tiles.
        shape: in pixels.
        image: what its .dzi says.
    """

    ndim = 2

    def __init__(self, folder: Path, shape: Shape, image: Description) -> None:
        self.folder, self.shape, self._size, self._image = folder, shape.as_tuple(), shape, image
        self._tile = lru_cache(KEPT)(self.tile)

    @property
    def places(self) -> list[Place]:
        """Of all tiles, row by row."""
        side = self._image.side
        return [(x, y) for y in range(-(-self._size.h // side)) for x in range(-(-self._size.w // side))]

    def file(self, place: Place) -> Path:
        """Of a tile."""
        return self.folder / f"{place[0]}_{place[1]}.{self._image.suffix}"

    def tile(self, place: Place) -> Pixels:
        """Decode a tile (h, w, c), with what it shares with its neighbours.

        Raises:
            ValueError: if it has another size than the description wants.
            OSError: if it is not there, or no picture.
        """
        wanted = self._inner(place).pad(self._image.overlap).clip(self._size).shape
        if not (file := self.file(place)).is_file():
            raise OSError(f"{file.name} is no file")
        with Image.open(file) as picture:
            found = np.asarray(picture)
        if found.shape[:2] != wanted.as_tuple():
            raise ValueError(f"the tile has {found.shape[1]} x {found.shape[0]} px, not {wanted.w} x {wanted.h}")
        return found.reshape(*wanted.as_tuple(), -1)

    def __getitem__(self, index: tuple[slice, ...]) -> Pixels:
        rows, columns = index[0].indices(self._size.h), index[1].indices(self._size.w)
        box = Box(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])
        part: Pixels | None = None
        touched = box.cells(self._image.side)
        for y in range(touched.y0, touched.y1):
            for x in range(touched.x0, touched.x1):
                inner = self._inner((x, y))
                common, tile = inner.intersect(box), inner.pad(self._image.overlap).clip(self._size)
                pixels = self._tile((x, y))
                if part is None:  # the format does not say how many channels its tiles have
                    part = np.zeros((*box.shape.as_tuple(), pixels.shape[2]), np.uint8)
                part[common.relative_to(box).slices] = pixels[common.relative_to(tile).slices]
        return np.zeros((*box.shape.as_tuple(), 1), np.uint8) if part is None else part

    def _inner(self, place: Place) -> Box:
        """A tile without what it shares."""
        side = self._image.side
        return Box(place[0] * side, place[1] * side, side, side).clip(self._size)
