"""An output appears under its name only when it is complete; until then, or if anything fails, there is nothing."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infbrush_wsi.errors import InfbrushError, OutputError, OutputExistsError

MARK = ".partial-"


@dataclass(frozen=True)
class Kind:
    """Folders that may be replaced when that is asked for.

    Attributes:
        name: of one of them, with its article.
        files: one of which is in each of them.
    """

    name: str
    files: tuple[str, ...]


ZARR = Kind("a Zarr store", ("zarr.json", ".zgroup", ".zarray"))


@contextmanager
def staged(target: Path, *, overwrite: bool, kind: Kind = ZARR) -> Iterator[Path]:
    """Give a hidden new folder beside `target`, which becomes `target` if the block ends well and else is removed.

    Raises:
        OutputExistsError: if `target` exists and may not be replaced. Only a folder of `kind` is ever replaced.
        OutputError: if the folder cannot be made, if anything but an error of this package goes wrong in the block
            (its cause is chained), or if the result cannot be moved into place.
    """
    refuse_existing(target, overwrite, kind)
    token = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    partial = target.with_name(f".{target.name}{MARK}{token}")
    try:
        partial.mkdir()
    except OSError as error:
        raise OutputError(
            f"'{target}' cannot be written: {error.strerror or error}. Does the folder '{target.parent}' exist, "
            f"and may you write there?"
        ) from error
    try:
        yield partial
        move_into_place(partial, target, overwrite, token, kind)
    except InfbrushError:
        raise
    except Exception as error:
        raise OutputError(
            f"'{target}' could not be written, and what was begun has been removed: {type(error).__name__}: {error}"
        ) from error
    finally:
        # Also for KeyboardInterrupt; after a success the folder has moved and there is nothing to remove.
        shutil.rmtree(partial, ignore_errors=True)


def is_staged(name: str) -> bool:
    """Whether `staged` has made a folder of this name, which a killed process leaves."""
    return name.startswith(".") and MARK in name


def refuse_existing(target: Path, overwrite: bool, kind: Kind = ZARR) -> None:
    """Only a folder of `kind` is ever replaced, and only if that is asked for.

    Raises:
        OutputExistsError: if `target` exists and may not be replaced.
    """
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise OutputExistsError(f"'{target}' exists; choose another name, or ask to overwrite it")
    if target.is_symlink() or not any((target / name).is_file() for name in kind.files):
        raise OutputExistsError(
            f"'{target}' exists and is not {kind.name}, so it is not overwritten; remove it yourself"
        )


def replaced_folder(target: Path, token: str) -> Path:
    """Where the old store is while a new one takes its place."""
    return target.with_name(f".{target.name}.replaced-{token}")


def move_into_place(partial: Path, target: Path, overwrite: bool, token: str, kind: Kind = ZARR) -> None:
    """Give a complete folder its name, and remove the one that had it.

    Raises:
        OutputExistsError: if `target` has come to exist and may not be replaced.
    """
    # Asked again, because writing takes long and rename would replace an empty folder without a word.
    refuse_existing(target, overwrite, kind)
    if not target.exists():
        partial.rename(target)
        return
    old = replaced_folder(target, token)
    target.rename(old)
    try:
        partial.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
