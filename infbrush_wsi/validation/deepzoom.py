"""Whether a DeepZoom image is what it says: its tiles, its levels, and the record in its folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infbrush_wsi.domain import XY, Shape
from infbrush_wsi.errors import ConfigError, SourceNotFoundError
from infbrush_wsi.validation.blocks import Blocks, check_blocks
from infbrush_wsi.validation.finding import Finding, Validation
from infbrush_wsi.validation.geometry import SIZE, check_size
from infbrush_wsi.validation.opened import Pyramid, StoredLevel
from infbrush_wsi.validation.pixels import check_pyramid
from infbrush_wsi.validation.provenance import check_provenance
from infbrush_wsi.validation.record import read_record
from infbrush_wsi.validation.tile_folder import Description, TileLevel, read_description
from infbrush_wsi.writers.deepzoom import tiles_folder

DESCRIPTION = "description"
TILES = "tiles"
SUFFIX = ".dzi"
SMALLEST = 256
"""Pixels of a level that is compared; levels go on to a single pixel, and JPEG leaves little of the last ones."""


def validate_deepzoom(
    path: str | os.PathLike[str], *, windows: int = 16, decode: bool = False, seed: int = 0
) -> Validation:
    """Look whether a local DeepZoom image, by whomever it was written, is what it says.

    The description, whether every tile of every level is there and of its size, tiles in random places, levels against
    the means of the finer ones, and the record of how the pixels were made, which also has the pixel size.

    Args:
        path: of the .dzi; the tiles are in the folder beside it.
        windows: tiles that are decoded, and windows of 64 x 64 pixels that are compared, at each level.
        decode: decode every tile.
        seed: of tiles and windows.

    Returns:
        what was found; nothing is raised for what is wrong in an image whose description can be read.

    Raises:
        SourceNotFoundError: if there is nothing at the path.
        UnsupportedSourceError: if it is the description of something else.
        CorruptSourceError: if it cannot be read.
        ConfigError: if `windows` is not positive.
    """
    if windows < 1:
        raise ConfigError(f"at least one window must be compared, not {windows}")
    target = Path(path)
    if not target.is_file():
        raise SourceNotFoundError(f"there is no file {target}")
    image, folder = read_description(target), tiles_folder(target)
    levels = _levels(folder, image)
    text = f"{image.shape.w} x {image.shape.h} px in {len(levels)} levels of {image.suffix} tiles of {image.side} px"
    findings = [Finding(DESCRIPTION, "ok", text), *(whole := list(_check_tiles(levels)))]
    record, said = read_record(folder)
    pyramid = _pyramid(levels, record)
    findings += [*said, *_check_size(pyramid, record)]
    if all(finding.grade != "error" for finding in whole):  # otherwise what is not there cannot be decoded
        rng = np.random.default_rng(seed)
        blocks = [Blocks(_name(level), level.places, level.tile) for level in levels]
        decoded = list(check_blocks(blocks, None if decode else windows, rng))
        findings += decoded
        if all(finding.grade != "error" for finding in decoded):
            findings += check_pyramid(_large(pyramid), windows, seed)
    return Validation(os.fspath(path), (*findings, *check_provenance(pyramid, record)))


def _levels(folder: Path, image: Description) -> list[TileLevel]:
    """From the whole image to one pixel, each half of the finer one, rounded up."""
    shapes = [image.shape]
    while shapes[-1] != Shape(1, 1):
        shapes.append(Shape(-(-shapes[-1].h // 2), -(-shapes[-1].w // 2)))
    coarsest = len(shapes) - 1
    return [TileLevel(folder / str(coarsest - k), shape, image) for k, shape in enumerate(shapes)]


def _name(level: TileLevel) -> str:
    return level.folder.name


def _check_tiles(levels: list[TileLevel]) -> Iterator[Finding]:
    """Whether every tile has a file: what is not there is a hole on the page."""
    complete, total = True, 0
    for level in levels:
        there = {entry.name for entry in os.scandir(level.folder)} if level.folder.is_dir() else set[str]()
        files = [level.file(place).name for place in level.places]
        missing = [name for name in files if name not in there]
        total += len(files)
        if missing:
            complete = False
            lack = f"has {len(files) - len(missing)} of {len(files)} tiles; {missing[0]} is not there"
            yield Finding(TILES, "error", f"level {_name(level)} {lack}")
    if complete:
        yield Finding(TILES, "ok", f"all {total} are there")


def _pyramid(levels: list[TileLevel], record: Mapping[str, Any] | None) -> Pyramid:
    """Levels in the unit of the record, in pixels without one; the format knows neither."""
    lattice = (record or {}).get("lattice")
    try:
        a, b, _, d, e, _ = lattice["transform"]  # type: ignore[index]
        spacing, unit = XY(float(np.hypot(a, d)), float(np.hypot(b, e))), str(lattice["unit"])  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        spacing, unit = XY(1.0, 1.0), None
    stored = []
    for k, level in enumerate(levels):
        scale = XY(spacing.x * 2**k, spacing.y * 2**k)
        stored.append(StoredLevel(_name(level), level, 0, 1, scale, XY(scale.x / 2, scale.y / 2)))
    return Pyramid(tuple(stored), unit)


def _large(pyramid: Pyramid) -> Pyramid:
    return Pyramid(tuple(level for level in pyramid.levels if level.shape.count >= SMALLEST), pyramid.unit)


def _check_size(pyramid: Pyramid, record: Mapping[str, Any] | None) -> Iterator[Finding]:
    if pyramid.unit is None:
        lack = "its record does not say it" if record else "there is no record that says it"
        yield Finding(SIZE, "warning", f"DeepZoom has no place for a pixel size, and {lack}")
    else:
        yield from check_size(pyramid)
