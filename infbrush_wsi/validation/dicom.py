"""Whether a folder of DICOM files is the slide that it says: its files, sizes, pixels and provenance."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from infbrush_wsi._optional import require
from infbrush_wsi.domain import MICROMETERS_PER_UNIT, XY
from infbrush_wsi.errors import ConfigError, CorruptSourceError, SourceNotFoundError, UnsupportedSourceError
from infbrush_wsi.validation.blocks import Blocks, check_blocks
from infbrush_wsi.validation.dicom_files import check_kinds, check_records, read_headers
from infbrush_wsi.validation.finding import Finding, Validation
from infbrush_wsi.validation.geometry import SIZE, check_levels, check_size
from infbrush_wsi.validation.opened import Pyramid, StoredLevel
from infbrush_wsi.validation.pixels import check_pyramid
from infbrush_wsi.validation.provenance import check_provenance
from infbrush_wsi.validation.record import read_record

FILES = "files"
SUFFIX = ".dcm"


def validate_dicom(
    path: str | os.PathLike[str], *, windows: int = 16, decode: bool = False, seed: int = 0
) -> Validation:
    """Look whether a local folder of DICOM files is the slide that it says, by whomever it was written.

    Files that wsidicom reads as one slide, image types, physical pixel size, extent of the levels, tiles in random
    places, levels against the means of the finer ones, and the record of how the pixels were made, in the files and
    beside them. It is no check of all that DICOM demands of a file.

    Args:
        path: of the folder, or of a file in it.
        windows: tiles that are decoded, and windows of 64 x 64 pixels that are compared, at each level.
        decode: decode every tile.
        seed: of tiles and windows.

    Returns:
        what was found; nothing is raised for what is wrong in a slide that can be opened.

    Raises:
        SourceNotFoundError: if there is nothing at the path.
        UnsupportedSourceError: if it holds no DICOM files, or those of several slides.
        CorruptSourceError: if wsidicom finds no slide in them.
        ConfigError: if `windows` is not positive.
        MissingExtraError: without wsidicom.
    """
    if windows < 1:
        raise ConfigError(f"at least one window must be compared, not {windows}")
    wsidicom = require("wsidicom", extra="dicom", purpose="validate DICOM")
    folder = _folder(path)
    headers, findings = read_headers(sorted(folder.glob(f"*{SUFFIX}")))
    series = {header.SeriesInstanceUID for header in headers.values()}
    if len(series) > 1:
        raise UnsupportedSourceError(f"{folder} holds {len(series)} series: put each slide in a folder of its own")
    record, said = read_record(folder)
    with _opened(wsidicom, folder, list(headers)) as slide:
        findings += [*_check_files(slide, headers), *check_kinds(headers, record)]
        findings += _check_pixels(slide, _pyramid(slide), None if decode else windows, windows, seed)
        found = check_provenance(_pyramid(slide), _in_micrometers(record))
        return Validation(os.fspath(path), (*findings, *said, *check_records(headers, record), *found))


def _folder(path: str | os.PathLike[str]) -> Path:
    given = Path(path)
    if not given.exists():
        raise SourceNotFoundError(f"there is nothing at {given}")
    return given if given.is_dir() else given.parent


@contextmanager
def _opened(wsidicom: Any, folder: Path, files: list[Path]) -> Iterator[Any]:
    """The slide of the files.

    wsidicom logs the traceback of a file that it cannot read and goes on without it; `_check_files` tells instead.
    """
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        slide = wsidicom.WsiDicom.open(files)
    except Exception as error:
        # Damaged files come as errors of pydicom, struct and wsidicom.
        raise CorruptSourceError(f"wsidicom finds no slide in {folder}: {error}") from error
    finally:
        logging.disable(before)
    with slide:
        yield slide


def _check_files(slide: Any, headers: Mapping[Path, Any]) -> Iterator[Finding]:
    """Whether all files are parts of the slide."""
    used = {Path(file).name for file in slide.files or ()}
    lost = [file.name for file in headers if file.name not in used]
    for name in lost:
        yield Finding(FILES, "error", f"{name} cannot be read as a part of the slide: damaged, or of another one")
    if not lost:
        yield Finding(FILES, "ok", f"{len(used)} are one slide, by wsidicom")


def _pyramid(slide: Any) -> Pyramid:
    """Levels in micrometres. DICOM places the corner of the image, which all levels share."""
    levels = []
    for level in slide.levels:
        scale = XY(level.mpp.width, level.mpp.height)
        array = _Level(slide, level.level, (level.size.height, level.size.width))
        levels.append(StoredLevel(str(level.level), array, 0, 1, scale, XY(scale.x / 2, scale.y / 2)))
    return Pyramid(tuple(levels), "micrometer")


def _check_pixels(slide: Any, pyramid: Pyramid, tiles: int | None, windows: int, seed: int) -> Iterator[Finding]:
    whole = [*check_size(pyramid)]
    yield from whole
    if any(finding.check == SIZE and finding.grade == "error" for finding in whole):
        return
    whole += (levels := list(check_levels(pyramid)))
    yield from levels
    whole += (decoded := list(check_blocks(_blocks(slide), tiles, np.random.default_rng(seed))))
    yield from decoded
    if all(finding.grade != "error" for finding in whole):
        yield from check_pyramid(pyramid, windows, seed)


def _blocks(slide: Any) -> Iterator[Blocks]:
    for level in slide.levels:
        columns, rows = level.tiled_size.width, level.tiled_size.height
        places = [(x, y) for y in range(rows) for x in range(columns)]

        def decode(place: tuple[int, int], number: int = level.level) -> Any:
            return slide.read_tile(number, place).load()

        yield Blocks(str(level.level), places, decode)


class _Level:
    """A level; indexed by two slices it gives pixels (h, w, c)."""

    ndim = 2

    def __init__(self, slide: Any, number: int, shape: tuple[int, int]) -> None:
        self._slide, self._number, self.shape = slide, number, shape

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        (y0, y1, _), (x0, x1, _) = index[0].indices(self.shape[0]), index[1].indices(self.shape[1])
        part = self._slide.read_region((x0, y0), self._number, (x1 - x0, y1 - y0))
        return np.asarray(part).reshape(y1 - y0, x1 - x0, -1)


def _in_micrometers(record: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The record with its lattice in the unit of the levels; as it is where it says none."""
    lattice = (record or {}).get("lattice")
    if not isinstance(lattice, Mapping) or record is None:
        return record
    factor, transform = MICROMETERS_PER_UNIT.get(str(lattice.get("unit"))), lattice.get("transform")
    if factor is None or not isinstance(transform, list):
        return record
    return {**record, "lattice": {**lattice, "unit": "micrometer", "transform": [factor * t for t in transform]}}
