"""Finding the reader for a path."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from urllib.parse import unquote, urlparse

from infbrush_wsi.errors import CorruptSourceError, SourceError, SourceNotFoundError, UnsupportedSourceError
from infbrush_wsi.sources.base import Source
from infbrush_wsi.sources.guard import guarded
from infbrush_wsi.sources.options import MAX_PIXELS, OpenOptions, pixel_size

GROUP = "infbrush_wsi.sources"
"""Entry point group in which other packages register a subclass of Source."""

BUILT_IN = {
    "ome_zarr": "infbrush_wsi.sources.ome_zarr:OmeZarrSource",
    "openslide": "infbrush_wsi.sources.openslide:OpenSlideSource",
    "rasterio": "infbrush_wsi.sources.rasterio:RasterioSource",
    "image": "infbrush_wsi.sources.image:ImageSource",
}
log = logging.getLogger(__name__)


@cache
def readers() -> dict[str, type[Source]]:
    """The readers by name, in the order in which they are asked: built-in ones and installed plugins."""
    found: dict[str, type[Source]] = {}
    for name, target in BUILT_IN.items():
        module, _, attribute = target.partition(":")
        found[name] = getattr(importlib.import_module(module), attribute)
    for entry in entry_points(group=GROUP):
        if BUILT_IN.get(entry.name) != entry.value:
            _add_plugin(found, entry)
    return dict(sorted(found.items(), key=lambda item: item[1].priority))


def _add_plugin(found: dict[str, type[Source]], entry: EntryPoint) -> None:
    try:
        reader = entry.load()
        if not (isinstance(reader, type) and issubclass(reader, Source)):
            raise TypeError(f"{reader!r} is no subclass of infbrush_wsi.sources.Source")
    except Exception as error:
        # Somebody else's broken package must not keep this one from opening files.
        log.warning("the reader %r (%s) cannot be used: %s", entry.name, entry.value, error)
        return
    found[entry.name] = reader


def readable_suffixes() -> tuple[str, ...]:
    """Lower-case suffixes, with dot, that some reader claims."""
    return tuple(sorted({suffix for reader in readers().values() for suffix in reader.suffixes}))


def open_source(
    path_or_url: str | Path,
    *,
    mpp: float | tuple[float, float] | None = None,
    reader: str | None = None,
    bands: Sequence[int] | None = None,
    scale: tuple[float, float] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Source:
    """Open a slide, a raster or an image.

    The content decides which reader is used, not the name: OME-Zarr, then the slide formats of OpenSlide, then
    georeferenced and other rasters through GDAL, then plain images.

    Args:
        path_or_url: a file, an OME-Zarr directory, a file:// URL, or an http(s):// or s3:// URL of a raster or Zarr.
        mpp: micrometres per level-0 pixel, or (x, y), if the file does not say it or is wrong.
        reader: name of the reader to use ('openslide', 'rasterio', 'ome_zarr', 'image', or a plugin's).
        bands: 1-based bands to read, in this order; by default all but an alpha band.
        scale: (low, high) raw values that become 0 and 255, needed for anything but 8-bit.
        max_pixels: limit for formats that must be decoded whole (PNG, JPEG, ...).

    Returns:
        The source. It holds no open file until it is read.

    Raises:
        SourceNotFoundError: if there is nothing at the path.
        UnsupportedSourceError: if no reader knows the format, or it holds other than 8-bit values and no `scale`.
        CorruptSourceError: if the file is empty, truncated or damaged.
        SourceTooLargeError: if the image is beyond `max_pixels`.
        BandMismatchError: if a band does not exist.
        MissingExtraError: if the library for this format is not installed.

    Example:
        >>> src = open_source("slide.svs")
        >>> src.read_region(location=(1000, 2000), level=0, size=(256, 256)).shape
        (256, 256, 3)
    """
    path = local_path(path_or_url)
    options = OpenOptions(pixel_size(mpp), None if bands is None else tuple(bands), scale, max_pixels)
    if not is_remote(path):
        _check_file(path)
    chosen = [_named(reader)] if reader is not None else readers().values()
    for candidate in chosen:
        if reader is not None or candidate.can_open(path):
            with guarded(f"the reader {candidate.name} cannot open {path}"):
                return candidate.open(path, options)
    raise _unknown(path)


def is_remote(path: str) -> bool:
    """Whether `path` is a URL or a GDAL virtual path rather than something on this file system."""
    return "://" in path or path.startswith("/vsi")


def local_path(path_or_url: str | Path) -> str:
    """The path of a file:// URL; anything else as a string."""
    text = str(path_or_url)
    parsed = urlparse(text)
    return unquote(parsed.path) if parsed.scheme == "file" else text


def _named(name: str) -> type[Source]:
    if name not in readers():
        raise UnsupportedSourceError(f"there is no reader {name!r}; installed are {', '.join(readers())}")
    return readers()[name]


def _check_file(path: str) -> None:
    file = Path(path)
    try:
        if not file.exists():
            raise SourceNotFoundError(f"there is nothing at {path}")
        if file.is_file() and file.stat().st_size == 0:
            raise CorruptSourceError(f"{path} is empty")
    except SourceError:
        raise
    except (OSError, ValueError) as error:
        # A name that no file can have, a folder that may not be looked into, a link to itself.
        raise SourceNotFoundError(f"{path} cannot be looked at: {error}") from error
    if not (file.is_file() or file.is_dir()):
        raise UnsupportedSourceError(f"{path} is no file but a device or a pipe; copy it to a file")


def _unknown(path: str) -> Exception:
    if Path(path).is_dir():
        if path.rstrip("/").endswith(".zarr"):
            return CorruptSourceError(f"{path} is no OME-Zarr image: it has no readable 'multiscales' metadata")
        return UnsupportedSourceError(
            f"{path} is a folder, not an image: name an image in it (in Python collect([...]) takes folders)"
        )
    suffix = Path(path).suffix.lower()
    if suffix in readable_suffixes():
        return CorruptSourceError(f"{path} is named {suffix} but no reader finds an image in it: truncated or damaged?")
    return UnsupportedSourceError(
        f"no installed reader knows {path}; known are {', '.join(readable_suffixes())} "
        "(pip install 'infbrush-wsi[wsi,geo]' for slides and rasters)"
    )
