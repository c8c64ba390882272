"""DICOM whole slide images, through wsidicom."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from infbrush_wsi._optional import require
from infbrush_wsi.domain import MICROMETERS_PER_UNIT, XY, Lattice
from infbrush_wsi.errors import BandMismatchError, ConfigError, MissingMppError
from infbrush_wsi.writers.description import to_description
from infbrush_wsi.writers.image import ImageMeta, name_channels
from infbrush_wsi.writers.provenance import RECORD_FILE, provenance_record
from infbrush_wsi.writers.pyramid import check_levels
from infbrush_wsi.writers.staging import Kind, staged
from infbrush_wsi.writers.tiff import Compression
from infbrush_wsi.writers.tile_stream import TileStream

if TYPE_CHECKING:
    import dask.array as da

TILE = 256
MICROMETERS_PER_MILLIMETER = 1e3
FOLDER = Kind("a DICOM folder of this package", (RECORD_FILE,))


def write_dicom(
    level0: da.Array,
    path: str | os.PathLike[str],
    *,
    lattice: Lattice,
    provenance: Mapping[str, Any],
    compression: Compression = "jpeg",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a folder of DICOM files, one for each level of a pyramid (VL Whole Slide Microscopy Image).

    The files say DERIVED in their image type, and in their descriptions whether the image is synthetic. Study, series
    and specimen are new, there is no patient, and the time of acquisition is that of writing. The record of how the
    image was made is in their comments if it fits (10,240 characters), and whole in ``provenance.json`` beside them.
    The place of a part of a slide is not kept.

    Args:
        level0: lazy array (h, w, c), uint8, of one or three channels.
        path: the folder to be made, in an existing one.
        lattice: pixel grid of level 0, in a unit of length.
        provenance: what made the pixels.
        compression: 'jpeg', or 'deflate', which here is any lossless one: JPEG 2000.
        overwrite: replace an existing folder of this writer.
        progress: called with (tiles written, tiles in all).

    Raises:
        RegionError: if the array does not fit the lattice.
        BandMismatchError: for other than one or three channels.
        MissingMppError: if the pixel size is not a length.
        ConfigError: if compression or provenance is not valid.
        MissingExtraError: without wsidicom.
        OutputExistsError, OutputError: if it exists or cannot be written; nothing is left behind.
    """
    require("wsidicom", extra="dicom", purpose="write DICOM")
    channels = check_levels([level0], lattice)
    if channels not in (1, 3):
        raise BandMismatchError(
            f"DICOM slides have one or three channels, the image has {channels}: export to .tif or .ome.zarr"
        )
    if compression not in get_args(Compression):
        raise ConfigError(f"compression must be 'jpeg' or 'deflate', not {compression!r}")
    target, spacing = Path(path), _millimeters(lattice)
    record = provenance_record(ImageMeta(target.name, lattice, name_channels(channels, None)), provenance)
    record |= {"state": "complete"}
    from infbrush_wsi.writers.dicom_levels import save_levels

    with (
        staged(target, overwrite=overwrite, kind=FOLDER) as folder,
        tempfile.TemporaryDirectory(prefix=".infbrush-dicom-", dir=folder.parent) as scratch,
    ):
        stream = TileStream(level0, TILE, Path(scratch), progress)
        save_levels(stream, folder, spacing, record, lossless=compression == "deflate")
        (folder / RECORD_FILE).write_text(to_description(record))
    return target


def _millimeters(lattice: Lattice) -> XY:
    factor = MICROMETERS_PER_UNIT.get(lattice.unit)
    if factor is None:
        raise MissingMppError(
            f"a DICOM slide has a pixel size in millimetres, that of this image is in the unit '{lattice.unit}': "
            f"export to .tif or .ome.zarr"
        )
    factor /= MICROMETERS_PER_MILLIMETER
    return XY(factor * lattice.spacing.x, factor * lattice.spacing.y)
