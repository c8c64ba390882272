"""What can be known to fail should fail before an hour of rendering."""

from __future__ import annotations

import os
from pathlib import Path

from infbrush_wsi.errors import ConfigError, OutputError, OutputExistsError

NO_STORES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dzi", ".dicom", ".svs", ".geojson")
"""Suffixes that promise a file of another format than OME-Zarr."""


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that is taken.

    Raises:
        OutputExistsError: if there is something, and it is not to be replaced.
        OutputError: if it cannot be written; see `check_folder`.
    """
    if path.exists() and not overwrite:
        raise OutputExistsError(f"'{path}' exists; choose another name, or add --overwrite")
    check_folder(path)


def check_folder(path: Path) -> None:
    """Refuse a path whose folder is not there or cannot be written.

    Raises:
        OutputError: saying which.
    """
    folder = path.resolve().parent
    if not folder.is_dir():
        raise OutputError(f"'{path}' cannot be written: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"'{path}' cannot be written: you may not write in {folder}; choose another folder")


def check_store(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that no OME-Zarr store can be written to.

    Raises:
        ConfigError: if its name promises another format.
        OutputExistsError, OutputError: see `check_output`; only stores are replaced.
    """
    from infbrush_wsi.writers.staging import refuse_existing

    if path.suffix.lower() in NO_STORES:
        raise ConfigError(
            f"'{path}' would be an OME-Zarr store, which is a folder: name it {path.stem}.ome.zarr, and turn it into "
            f"{path.suffix} with infbrush export"
        )
    check_output(path, overwrite=overwrite)
    refuse_existing(path, overwrite)
