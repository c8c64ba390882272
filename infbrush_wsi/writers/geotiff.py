"""Cloud optimised GeoTIFF (COG), through GDAL."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infbrush_wsi._optional import require
from infbrush_wsi.domain import Box, Lattice, tiles
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.writers.description import to_description
from infbrush_wsi.writers.files import staged_file
from infbrush_wsi.writers.image import name_channels
from infbrush_wsi.writers.pyramid import check_levels

if TYPE_CHECKING:
    import dask.array as da

BLOCK = 256
READ = 2048
"""Side of the windows that are computed at a time."""
LAYOUT = {
    "BLOCKSIZE": BLOCK, "COMPRESS": "DEFLATE", "PREDICTOR": "YES", "BIGTIFF": "IF_SAFER",
    "OVERVIEWS": "FORCE_USE_EXISTING",
}  # fmt: skip
"""Of the finished file. Overviews are made in the draft, where their factors can be chosen."""


def write_geotiff(
    level0: da.Array,
    path: str | os.PathLike[str],
    *,
    lattice: Lattice,
    provenance: Mapping[str, Any],
    channel_names: Sequence[str] | None = None,
    nodata: int | None = None,
    software: str = "infbrush_wsi",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a losslessly compressed COG: a tiled GeoTIFF with averaged overviews, laid out to be read in parts by URL.

    A COG cannot be written piece by piece, so an ordinary GeoTIFF is, which GDAL copies into the final layout. Until
    then the folder needs room for the file twice. Memory does not grow with the image.

    Args:
        level0: lazy array (h, w, c), uint8.
        path: the file, in an existing folder.
        lattice: pixel grid with its transform and CRS; without a CRS the transform is written alone.
        provenance: what made the pixels, in the image description as JSON.
        channel_names: band descriptions.
        nodata: value of empty pixels, if there are any.
        software: name in the Software tag.
        overwrite: replace an existing file.
        progress: called with (steps done, steps in all): windows, and the copy.

    Raises:
        RegionError: if the array does not fit the lattice.
        ConfigError: if GDAL does not know the CRS.
        BandMismatchError: if there are more or fewer names than bands.
        MissingExtraError: without rasterio.
        OutputExistsError, OutputError: if it exists or cannot be written; nothing is left behind.
    """
    rasterio = require("rasterio", extra="geo", purpose="write GeoTIFF")
    check_levels([level0], lattice)
    names = name_channels(level0.shape[2], channel_names)
    profile = _profile(rasterio, lattice, len(names), nodata)
    with _staged_cog(Path(path), overwrite) as draft:
        with rasterio.open(draft, "w", **profile) as raster:
            boxes = list(tiles(lattice.shape, READ))
            for done, box in enumerate(boxes, start=1):
                raster.write(np.moveaxis(level0[box.slices].compute(), 2, 0), window=_window(rasterio, box))
                if progress is not None:
                    progress(done, len(boxes) + 1)
            raster.descriptions = names
            raster.update_tags(TIFFTAG_SOFTWARE=software, TIFFTAG_IMAGEDESCRIPTION=to_description(provenance))
        with rasterio.open(draft, "r+") as raster:
            longer = max(lattice.shape.as_tuple())
            factors = [2**k for k in range(1, 12) if longer > BLOCK * 2 ** (k - 1)]
            raster.build_overviews(factors, rasterio.enums.Resampling.average)
    if progress is not None:
        progress(len(boxes) + 1, len(boxes) + 1)
    return Path(path)


@contextmanager
def _staged_cog(path: Path, overwrite: bool) -> Iterator[Path]:
    """The name of a GeoTIFF to be written, of which a COG is made if the block ends well."""
    shutil = require("rasterio.shutil", extra="geo", purpose="write GeoTIFF")
    with (
        staged_file(path, overwrite=overwrite) as final,
        tempfile.TemporaryDirectory(prefix=".infbrush-cog-", dir=final.parent) as scratch,
    ):
        draft = Path(scratch) / "draft.tif"
        yield draft
        shutil.copy(draft, final, driver="COG", **LAYOUT)


def _profile(rasterio: Any, lattice: Lattice, count: int, nodata: int | None) -> dict[str, Any]:
    errors = require("rasterio.errors", extra="geo", purpose="write GeoTIFF")
    try:
        crs = None if lattice.crs is None else rasterio.crs.CRS.from_user_input(lattice.crs)
    except (errors.CRSError, ValueError) as error:
        raise ConfigError(f"{lattice.crs!r} is not a coordinate reference system that GDAL knows: {error}") from error
    return {
        "driver": "GTiff", "dtype": "uint8", "count": count, "height": lattice.shape.h, "width": lattice.shape.w,
        "crs": crs, "transform": lattice.transform, "nodata": nodata, "tiled": True, "blockxsize": BLOCK,
        "blockysize": BLOCK, "compress": "deflate", "zlevel": 1, "predictor": 2, "BIGTIFF": "IF_SAFER",
        "photometric": "RGB" if count >= 3 else "MINISBLACK", "alpha": "NO",
    }  # fmt: skip


def _window(rasterio: Any, box: Box) -> Any:
    return rasterio.windows.Window(box.x0, box.y0, box.w, box.h)
