"""Ordinary pictures: PNG and JPEG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from infbrush_wsi.errors import BandMismatchError, ConfigError, RegionError
from infbrush_wsi.writers.description import to_description
from infbrush_wsi.writers.files import staged_file

MAX_PIXELS = 1 << 28
JPEG_SIDE = 65_535
JPEG = {"quality": 92, "subsampling": 0}
"""Options of Pillow."""
SUFFIXES = (".png", ".jpg", ".jpeg")
DESCRIPTION_TAG = 270
MICROMETERS_PER_INCH = 25_400.0


def check_picture(w: int, h: int, path: Path) -> None:
    """Refuse what does not fit into a picture, before its pixels are read.

    Raises:
        RegionError: if there are too many pixels.
        ConfigError: if the suffix is not known.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"'{path}' must end in .png, .jpg or .jpeg")
    longest = MAX_PIXELS if path.suffix.lower() == ".png" else JPEG_SIDE
    if w * h > MAX_PIXELS or max(w, h) > longest:
        raise RegionError(
            f"{w} x {h} pixels are too many for {path.suffix}; choose a coarser --level or --mpp, a --region, "
            f"or a pyramid (.ome.tif, .tif, .dzi, .ome.zarr)"
        )


def check_bands(channels: int) -> None:
    """Refuse bands that are no picture.

    Raises:
        BandMismatchError: if there are two.
    """
    if channels == 2:
        raise BandMismatchError("two bands are no picture: export to .tif or .ome.zarr, or choose bands")


def as_picture(pixels: NDArray[np.uint8]) -> Image.Image:
    """Pixels (h, w, C) as a picture: one band is grey, of more than three the first three are shown."""
    shown = pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3]
    return Image.fromarray(np.ascontiguousarray(shown))


def write_picture(
    pixels: NDArray[np.uint8],
    path: Path,
    *,
    provenance: Mapping[str, Any],
    mpp: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a PNG or JPEG with provenance in its description.

    Args:
        pixels: uint8 (h, w, C); one band is written as grey, of more than three the first three.
        path: the file; its suffix chooses the format.
        provenance: what made the pixels.
        mpp: micrometres per pixel, written as dots per inch.
        overwrite: replace an existing file.

    Raises:
        BandMismatchError: for two bands, which are no picture.
        RegionError, ConfigError: see `check_picture`.
        OutputExistsError, OutputError: if it exists or cannot be written; nothing is left behind.
    """
    h, w, channels = pixels.shape
    check_picture(w, h, path)
    check_bands(channels)
    image = as_picture(pixels)
    options: dict[str, Any] = {} if mpp is None else {"dpi": (MICROMETERS_PER_INCH / mpp,) * 2}
    text = to_description(provenance)
    if path.suffix.lower() == ".png":
        info = PngInfo()
        info.add_text("Description", text)
        options["pnginfo"] = info
    else:
        exif = Image.Exif()
        exif[DESCRIPTION_TAG] = text
        if "dpi" in options and max(options["dpi"]) > JPEG_SIDE:
            options.pop("dpi")  # JFIF has 16 bits for it
        options |= JPEG | {"exif": exif}
    with staged_file(path, overwrite=overwrite) as draft, draft.open("wb") as file:
        image.save(file, "PNG" if path.suffix.lower() == ".png" else "JPEG", **options)
    return path
