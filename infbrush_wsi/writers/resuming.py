"""A write that a later call continues: its folder stays where it is until the store is complete."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infbrush_wsi.errors import InfbrushError, OutputError
from infbrush_wsi.writers.lock import NAME as LOCK
from infbrush_wsi.writers.lock import sole_writer
from infbrush_wsi.writers.request import NAME as RECORD
from infbrush_wsi.writers.request import Begun, explain, read_begun
from infbrush_wsi.writers.staging import move_into_place, refuse_existing, replaced_folder

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Draft:
    """An unfinished write.

    Attributes:
        folder: holds the record, the journal and the store.
        begun: its record.
        fresh: whether the store is still to be made; call `begin` when that is done.
    """

    folder: Path
    begun: Begun
    fresh: bool

    @property
    def store(self) -> Path:
        """The folder of the store.

        Its name is of this write alone: a worker of one that was discarded, and does not know, finds it no more.
        """
        return self.folder / f"store-{self.begun.token}"

    def begin(self) -> None:
        """From now on the write can be continued."""
        self.begun.save(self.folder)


def partial_folder(target: str | os.PathLike[str]) -> Path:
    """Where the unfinished part of a resumable write of `target` is."""
    path = Path(target)
    return path.with_name(f".{path.name}.partial")


@contextmanager
def resumable(target: Path, request: Begun, *, overwrite: bool) -> Iterator[Draft]:
    """Give the unfinished write of `target` that `request` asks for, or a new one.

    Its store becomes `target` if the block ends well. If the block fails, however it does, all stays for the next call;
    only a write that never got to `begin` is removed.

    Raises:
        OutputExistsError: if `target` exists and may not be replaced.
        OutputError: if another process is writing `target`; if another request was begun there and `overwrite` does not
            allow to discard it; if anything but an error of this package goes wrong in the block.
    """
    folder = partial_folder(target).absolute()
    if not folder.exists():
        refuse_existing(target, overwrite)
    with sole_writer(folder):
        draft = _draft(folder, target, request, overwrite)
        with _explained(draft, target):
            yield draft
            move_into_place(draft.store, target, overwrite, draft.begun.token)
        shutil.rmtree(folder, ignore_errors=True)


def _draft(folder: Path, target: Path, request: Begun, overwrite: bool) -> Draft:
    """What is to be continued, or an empty folder."""
    found = _found(folder, target, overwrite)
    if found is None and target.exists() and not overwrite:
        # A call that was killed after its last step but one has left the rest to this one.
        shutil.rmtree(folder, ignore_errors=True)
    refuse_existing(target, overwrite)
    if found is not None:
        differences = found.differences(request)
        if not differences:
            return Draft(folder, found, fresh=False)
        if not overwrite:
            raise OutputError(
                f"'{folder}' holds an unfinished write of '{target}' of other pixels or in another form: "
                f"{explain(differences)}. Ask for what it was begun for to go on with it, overwrite to discard it, or "
                f"choose another name"
            )
    _clear(folder)
    return Draft(folder, request, fresh=True)


def _found(folder: Path, target: Path, overwrite: bool) -> Begun | None:
    """The write that has begun in `folder`, unless it is over; a store that it had put aside gets its name back."""
    try:
        begun = read_begun(folder)
    except OutputError:
        if not overwrite:
            raise
        return None
    if begun is None:
        return None
    old = replaced_folder(target, begun.token)
    if old.exists() and not target.exists():
        old.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return begun if Draft(folder, begun, fresh=False).store.is_dir() else None


def _clear(folder: Path) -> None:
    """Remove all but the lock, the record first: without it nothing has begun."""
    (folder / RECORD).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


@contextmanager
def _explained(draft: Draft, target: Path) -> Iterator[None]:
    """Say with every failure how to go on; remove what never got to begin."""
    try:
        yield
    except BaseException as error:
        begun = (draft.folder / RECORD).exists()
        if not begun:
            shutil.rmtree(draft.folder, ignore_errors=True)
        how = _how(draft, error) if begun else "What was begun has been removed."
        if isinstance(error, InfbrushError) or not isinstance(error, Exception):
            if begun:
                error.add_note(how)
            raise
        raise OutputError(f"'{target}' could not be written: {type(error).__name__}: {error}. {how}") from error


def _how(draft: Draft, error: BaseException) -> str:
    full = isinstance(error, OSError) and error.errno in FULL
    return (
        f"What is finished is kept in '{draft.folder}': {'free some space, then ' if full else ''}write again with the "
        f"same settings and resume to go on"
    )
