"""DeepZoom: a pyramid of small pictures in folders, and a .dzi that says how they fit together."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.writers.description import to_description
from infbrush_wsi.writers.files import staged_file
from infbrush_wsi.writers.image import ImageMeta, name_channels
from infbrush_wsi.writers.picture import JPEG, as_picture, check_bands
from infbrush_wsi.writers.provenance import RECORD_FILE, provenance_record
from infbrush_wsi.writers.pyramid import check_levels
from infbrush_wsi.writers.staging import Kind, staged
from infbrush_wsi.writers.tile_stream import TileStream

if TYPE_CHECKING:
    import dask.array as da

TileFormat = Literal["jpg", "png"]
TILE = 254
OVERLAP = 1
"""With the pixel that tiles share with each neighbour they are of 256, as OpenSlide's and libvips' are."""
NAMESPACE = "http://schemas.microsoft.com/deepzoom/2008"
FOLDER = Kind("a DeepZoom folder of this package", (RECORD_FILE,))


def write_deepzoom(
    level0: da.Array,
    path: str | os.PathLike[str],
    *,
    lattice: Lattice,
    provenance: Mapping[str, Any],
    tile_format: TileFormat = "jpg",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a DeepZoom pyramid, ``name.dzi`` beside ``name_files``, of levels from one pixel to the whole image.

    The format has no place for a pixel size or for how the image was made. Both are in ``name_files/provenance.json``,
    which viewers do not read. Every pixel is computed once; memory holds two rows of tiles.

    Args:
        level0: lazy array (h, w, c), uint8; one band is written as grey, of more than three the first three.
        path: of the .dzi, in an existing folder.
        lattice: pixel grid of level 0.
        provenance: what made the pixels.
        tile_format: 'jpg', or 'png' (lossless).
        overwrite: replace an existing pyramid of this package.
        progress: called with (tiles written, tiles in all).

    Raises:
        RegionError: if the array does not fit the lattice.
        BandMismatchError: for two bands, which are no picture.
        ConfigError: if the name does not end in .dzi, or format or provenance is not valid.
        OutputExistsError, OutputError: if it exists or cannot be written; nothing is left behind.
    """
    target = Path(path)
    if target.suffix.lower() != ".dzi":
        raise ConfigError(f"'{target}' must end in .dzi")
    if tile_format not in get_args(TileFormat):
        raise ConfigError(f"tiles are 'jpg' or 'png', not {tile_format!r}")
    channels = check_levels([level0], lattice)
    check_bands(channels)
    record = provenance_record(ImageMeta(target.stem, lattice, name_channels(channels, None)), provenance)
    # The .dzi is moved into place last: where there is one, its tiles are complete.
    with (
        staged_file(target, overwrite=overwrite) as description,
        staged(tiles_folder(target), overwrite=overwrite, kind=FOLDER) as folder,
        tempfile.TemporaryDirectory(prefix=".infbrush-deepzoom-", dir=folder.parent) as scratch,
    ):
        stream = TileStream(level0, TILE, Path(scratch), progress, smallest=1)
        for level in range(len(stream.shapes)):
            _write_level(stream, level, folder / str(len(stream.shapes) - 1 - level), tile_format)
        (folder / RECORD_FILE).write_text(to_description(record | {"state": "complete"}))
        description.write_bytes(_description(lattice.shape, tile_format))
    return target


def tiles_folder(path: Path) -> Path:
    """Where the tiles of a .dzi are."""
    return path.with_name(f"{path.stem}_files")


def _write_level(stream: TileStream, level: int, folder: Path, tile_format: TileFormat) -> None:
    folder.mkdir()
    options: dict[str, Any] = JPEG if tile_format == "jpg" else {}
    for row, band in enumerate(_with_neighbours(stream.bands(level))):
        whole = Shape(band.shape[0], band.shape[1])
        for column in range(stream.counts(level)[1]):
            box = Box(column * TILE, 0, TILE, whole.h).pad(OVERLAP).clip(whole)
            as_picture(band[box.slices]).save(folder / f"{column}_{row}.{tile_format}", **options)
            stream.count_one()


def _with_neighbours(bands: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Bands of rows, each with the nearest rows of those above and below it."""
    rest = iter(bands)
    band = next(rest)
    above = nothing = band[:0]
    for below in chain(rest, [nothing]):
        yield np.concatenate([above, band, below[:OVERLAP]])
        above, band = band[-OVERLAP:], below


def _description(shape: Shape, tile_format: TileFormat) -> bytes:
    image = ElementTree.Element("Image", xmlns=NAMESPACE, TileSize=str(TILE), Overlap=str(OVERLAP), Format=tile_format)
    ElementTree.SubElement(image, "Size", Width=str(shape.w), Height=str(shape.h))
    text: bytes = ElementTree.tostring(image, encoding="UTF-8", xml_declaration=True)
    return text
