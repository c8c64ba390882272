"""Which checks an image gets."""

from __future__ import annotations

import os
from pathlib import Path

from infbrush_wsi.errors import UnsupportedSourceError
from infbrush_wsi.sources.guard import guarded
from infbrush_wsi.validation import deepzoom, dicom, raster
from infbrush_wsi.validation.finding import Validation
from infbrush_wsi.validation.run import validate_store

TILES_FOLDER = "_files"


def validate_image(
    path: str | os.PathLike[str], *, windows: int = 16, decode: bool = False, seed: int = 0
) -> Validation:
    """Look whether an image is what it says: by its name a GeoTIFF, DeepZoom or DICOM, else an OME-Zarr store.

    Args:
        path: of a .tif, a .dzi, a folder with .dcm files or one of them, or a store or its URL.
        windows: as of the function of its format.
        decode: as well.
        seed: as well.

    Raises:
        InfbrushError: as the function of its format.
    """
    text = os.fspath(path)
    name = text.lower().rstrip("/")
    if name.endswith(raster.SUFFIXES):
        validator = raster.validate_raster
    elif name.endswith(deepzoom.SUFFIX):
        validator = deepzoom.validate_deepzoom
    elif name.endswith((dicom.SUFFIX, ".dicom")) or any(Path(text).glob(f"*{dicom.SUFFIX}")):
        validator = dicom.validate_dicom
    else:
        described = Path(text.rstrip("/").removesuffix(TILES_FOLDER) + deepzoom.SUFFIX)
        if name.endswith(TILES_FOLDER) and described.is_file():
            raise UnsupportedSourceError(f"{text} holds the tiles of {described}: validate that")
        validator = validate_store
    with guarded(f"{text} cannot be validated"):
        return validator(path, windows=windows, decode=decode, seed=seed)
