"""All checks of a store."""

from __future__ import annotations

import os
from collections.abc import Iterator

from infbrush_wsi.errors import ConfigError, CorruptSourceError
from infbrush_wsi.validation.finding import Finding, Validation
from infbrush_wsi.validation.geometry import SIZE, check_levels, check_size
from infbrush_wsi.validation.metadata import CHECK, check_metadata
from infbrush_wsi.validation.opened import OpenedStore, open_group, read_store
from infbrush_wsi.validation.pixels import check_chunks, check_decoding, check_pyramid
from infbrush_wsi.validation.provenance import check_provenance
from infbrush_wsi.validation.watermark import check_watermark
from infbrush_wsi.writers.provenance import KEY

WINDOWS = 16


def validate_store(
    path: str | os.PathLike[str], *, windows: int = WINDOWS, decode: bool = False, seed: int = 0
) -> Validation:
    """Look whether an OME-Zarr image, by whomever it was written, is what it says.

    Metadata of image and labels (by ome-zarr-models), physical pixel size, extent of the levels, stored chunks, levels
    against the means of the finer ones in random windows, the record of how the pixels were made, and the watermark
    that it names. A canvas's coarser levels are rendered, not averaged, so they differ from those means a little.

    Args:
        path: of the store, or its URL.
        windows: of 64 x 64 pixels that are compared at each level.
        decode: also decode every chunk, which reads the whole store.
        seed: of the windows.

    Returns:
        what was found; nothing is raised for what is wrong in a store that can be opened.

    Raises:
        SourceNotFoundError: if there is nothing at the path.
        UnsupportedSourceError: if it is no Zarr group.
        CorruptSourceError: if its root cannot be read.
        ConfigError: if `windows` is not positive.
        MissingExtraError: without ome-zarr-models.
    """
    if windows < 1:
        raise ConfigError(f"at least one window must be compared, not {windows}")
    text = os.fspath(path)
    group = open_group(text)
    findings = list(check_metadata(group))
    try:
        store = read_store(text, group)
    except CorruptSourceError as error:
        findings.append(Finding(CHECK, "error", str(error)))
    else:
        findings += _of_store(text, store, windows, decode, seed)
    return Validation(text, tuple(findings))


def _of_store(path: str, store: OpenedStore, windows: int, decode: bool, seed: int) -> Iterator[Finding]:
    found = list(check_size(store))
    yield from found
    if any(finding.check == SIZE and finding.grade == "error" for finding in found):
        return  # nothing else can be measured
    whole = [*check_levels(store), *check_chunks(store)]
    yield from whole
    if decode:
        yield from check_decoding(store)
    if all(finding.grade != "error" for finding in whole):  # otherwise levels differ for that reason
        yield from check_pyramid(store, windows, seed)
    record = store.group.attrs.get(KEY)
    yield from check_provenance(store, record)
    yield from check_watermark(path, record)
