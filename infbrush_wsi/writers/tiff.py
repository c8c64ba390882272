"""Tiled, pyramidal TIFF: with pages, as OpenSlide reads it, or as OME-TIFF with the levels in SubIFDs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from infbrush_wsi._optional import require
from infbrush_wsi.domain import MICROMETERS_PER_UNIT, Lattice
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.writers.description import to_description
from infbrush_wsi.writers.files import staged_file
from infbrush_wsi.writers.image import name_channels
from infbrush_wsi.writers.pyramid import check_levels
from infbrush_wsi.writers.tile_stream import TileStream

if TYPE_CHECKING:
    import dask.array as da

Compression = Literal["jpeg", "deflate"]
Progress = Callable[[int, int], None]
TILE = 256
QUALITY = 92
LARGEST_CLASSIC = 3 << 30
"""Bytes of uncompressed pixels up to which the 4 GiB of a classic TIFF are surely enough."""


def write_tiff(
    level0: da.Array,
    path: str | os.PathLike[str],
    *,
    lattice: Lattice,
    provenance: Mapping[str, Any],
    compression: Compression = "jpeg",
    software: str = "infbrush_wsi",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write a pyramid as successive pages marked as reduced images, the layout that OpenSlide reads all levels of.

    Args:
        level0: lazy array (h, w, c), uint8; three channels are written as RGB.
        path: the file, in an existing folder.
        lattice: pixel grid; the resolution tags give its pixel size where that is a length.
        provenance: what made the pixels, in the image description as JSON.
        compression: 'jpeg' (for RGB) or 'deflate' (lossless).
        software: name in the Software tag.
        overwrite: replace an existing file.
        progress: called with (tiles written, tiles in all).

    Raises:
        RegionError: if the array does not fit the lattice.
        ConfigError: if the compression does not fit the image.
        MissingExtraError: without tifffile or imagecodecs.
        OutputExistsError, OutputError: if it exists or cannot be written; nothing is left behind.
    """
    check_levels([level0], lattice)
    common = _format(level0.shape[2], compression) | {"software": software, "metadata": None}
    with _writing(path, level0, overwrite, progress) as (tiff, stream):
        for level in range(len(stream.shapes)):
            tiff.write(
                **_pixels(stream, level),
                subfiletype=int(level > 0),
                description=None if level else to_description(provenance),
                **common,
                **_resolution(lattice, level),
            )
    return Path(path)


def write_ome_tiff(
    level0: da.Array,
    path: str | os.PathLike[str],
    *,
    lattice: Lattice,
    name: str,
    provenance: Mapping[str, Any],
    channel_names: Sequence[str] | None = None,
    compression: Compression = "jpeg",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write an OME-TIFF: physical pixel sizes, coarser levels in SubIFDs, provenance as JSON in Description.

    Args:
        level0: lazy array (h, w, c), uint8; three channels are written as RGB.
        path: the file, in an existing folder; let its name end in ``.ome.tif``.
        lattice: pixel grid of level 0.
        name: a title, shown by viewers.
        provenance: what made the pixels.
        channel_names: one a channel; RGB is one channel to OME and needs none.
        compression: 'jpeg' (for RGB) or 'deflate' (lossless).
        overwrite: replace an existing file.
        progress: called with (tiles written, tiles in all).

    Raises:
        RegionError: if the array does not fit the lattice.
        ConfigError: if the compression does not fit the image.
        BandMismatchError: if there are more or fewer names than channels.
        MissingExtraError: without tifffile or imagecodecs.
        OutputExistsError, OutputError: if it exists or cannot be written; nothing is left behind.
    """
    check_levels([level0], lattice)
    channels = level0.shape[2]
    common = _format(channels, compression)
    metadata: dict[str, Any] = {
        "axes": "YX" if channels == 1 else "YXS", "Name": name, "Description": to_description(provenance),
        "SignificantBits": 8, **_physical_size(lattice),
    }  # fmt: skip
    if channels != 3:
        metadata["Channel"] = {"Name": ["; ".join(name_channels(channels, channel_names))]}
    with _writing(path, level0, overwrite, progress, ome=True) as (tiff, stream):
        for level in range(len(stream.shapes)):
            tiff.write(
                **_pixels(stream, level),
                subifds=0 if level else len(stream.shapes) - 1,
                subfiletype=int(level > 0),
                metadata=None if level else metadata,
                **common,
                **_resolution(lattice, level),
            )
    return Path(path)


@contextmanager
def _writing(
    path: str | os.PathLike[str], level0: da.Array, overwrite: bool, progress: Progress | None, *, ome: bool = False
) -> Iterator[tuple[Any, TileStream]]:
    """A TIFF under a hidden name, and the stream of its tiles with a scratch folder beside it."""
    tifffile = require("tifffile", extra="wsi", purpose="write TIFF")
    require("imagecodecs", extra="wsi", purpose="compress TIFF tiles")
    with (
        staged_file(Path(path), overwrite=overwrite) as draft,
        tempfile.TemporaryDirectory(prefix=".infbrush-tiff-", dir=draft.parent) as scratch,
        tifffile.TiffWriter(draft, bigtiff=level0.nbytes > LARGEST_CLASSIC, ome=ome) as tiff,
    ):
        yield tiff, TileStream(level0, TILE, Path(scratch), progress)


def _pixels(stream: TileStream, level: int) -> dict[str, Any]:
    """Tiles and shape of a level; a single channel has no axis of its own in TIFF."""
    shape, tiles = stream.shapes[level].as_tuple(), stream.tiles(level)
    if stream.channels == 1:
        return {"data": (tile[..., 0] for tile in tiles), "shape": shape}
    return {"data": tiles, "shape": (*shape, stream.channels)}


def _format(channels: int, compression: Compression) -> dict[str, Any]:
    """Arguments of tifffile that all pages share."""
    if compression not in get_args(Compression):
        raise ConfigError(f"compression must be 'jpeg' or 'deflate', not {compression!r}")
    if compression == "jpeg" and channels not in (1, 3):
        raise ConfigError(f"JPEG holds one or three channels, the image has {channels}; choose 'deflate'")
    chosen: dict[str, Any] = {"photometric": "rgb" if channels == 3 else "minisblack", "tile": (TILE, TILE)}
    if channels not in (1, 3):
        chosen |= {"planarconfig": "contig", "extrasamples": ("unspecified",) * (channels - 1)}
    if compression == "jpeg":
        return chosen | {"dtype": "uint8", "compression": "jpeg", "compressionargs": {"level": QUALITY}}
    return chosen | {"dtype": "uint8", "compression": "zlib", "predictor": True}


def _micrometers(lattice: Lattice) -> tuple[float, float] | None:
    factor = MICROMETERS_PER_UNIT.get(lattice.unit)
    return None if factor is None else (factor * lattice.spacing.x, factor * lattice.spacing.y)


def _resolution(lattice: Lattice, level: int) -> dict[str, Any]:
    size = _micrometers(lattice)
    if size is None:
        return {}
    return {"resolution": tuple(1e4 / (side * 2**level) for side in size), "resolutionunit": "CENTIMETER"}


def _physical_size(lattice: Lattice) -> dict[str, Any]:
    size = _micrometers(lattice)
    if size is None:
        return {}
    return {"PhysicalSizeX": size[0], "PhysicalSizeY": size[1], "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
