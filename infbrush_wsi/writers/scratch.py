"""Folders of temporary files, removed with what they belong to, and after it where a process was killed."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from infbrush_wsi.writers.lock import hold, let_go

SUFFIX = ".lock"


def scratch_folder(owner: object, prefix: str, parent: Path | None = None) -> Path:
    """A fresh folder that is removed when its owner is forgotten or the process ends.

    A killed process removes nothing, so the next call does it, for folders of the same prefix on the same machine. That
    their process lives is told by a locked file beside them; where locks are unknown nothing is ever removed.

    Args:
        owner: what it belongs to.
        prefix: of its name.
        parent: an existing folder; None: the system's for temporary files.

    Raises:
        OSError: if it cannot be made.
    """
    where = Path(tempfile.gettempdir()) if parent is None else parent
    own = f"{prefix}{re.sub('[^A-Za-z0-9]', '-', platform.node())}-"
    _remove_abandoned(where, own)
    descriptor, lock = _locked(where, own)
    folder = lock.with_suffix("") if descriptor is not None else Path(tempfile.mkdtemp(prefix=prefix, dir=where))
    if descriptor is not None:
        hold(descriptor)
        folder.mkdir(mode=0o700)
    weakref.finalize(owner, _remove, folder, lock, descriptor, os.getpid())
    return folder


def _locked(where: Path, prefix: str) -> tuple[int | None, Path]:
    """A fresh file that this process has locked; without a descriptor where the file system knows no locks."""
    while True:
        descriptor, name = tempfile.mkstemp(SUFFIX, prefix, where)
        lock = Path(name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            os.close(descriptor)
            lock.unlink(missing_ok=True)
            return None, lock
        if _is_file(lock, descriptor):
            return descriptor, lock
        os.close(descriptor)  # another process has found it before it was locked


def _remove_abandoned(where: Path, prefix: str) -> None:
    for lock in where.glob(f"{prefix}*{SUFFIX}"):
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # somebody else's, or just removed
            continue
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file(lock, descriptor):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink()
        os.close(descriptor)


def _is_file(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _remove(folder: Path, lock: Path, descriptor: int | None, process: int) -> None:
    if os.getpid() != process:  # a forked child inherits the finalizer, not the right to remove
        return
    shutil.rmtree(folder, ignore_errors=True)
    lock.unlink(missing_ok=True)
    if descriptor is not None:
        let_go(descriptor)
