"""One writer at a time for a folder, also over several processes."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infbrush_wsi.errors import OutputError

NAME = "lock"
_HELD: set[int] = set()


def _let_go() -> None:
    """In a forked child: a lock ends with the process that took it, though its children may live a while longer."""
    for descriptor in _HELD:
        with suppress(OSError):
            os.close(descriptor)
    _HELD.clear()


os.register_at_fork(after_in_child=_let_go)


def hold(descriptor: int) -> None:
    """Keep a locked file open in this process, and in no child of it."""
    _HELD.add(descriptor)


def let_go(descriptor: int) -> None:
    """Unlock it again; nothing happens in a child that was forked since."""
    if descriptor in _HELD:
        _HELD.remove(descriptor)
        os.close(descriptor)


@contextmanager
def sole_writer(folder: Path, name: str = NAME) -> Iterator[None]:
    """Make `folder` if it is not there, and be its only writer; the lock ends with the process, however that ends.

    Args:
        folder: in a folder that is there.
        name: of the file inside that is locked.

    Raises:
        OutputError: if another process or thread writes there, or if the folder cannot be made or locked.
    """
    try:
        descriptor = _lock(folder, name)
    except BlockingIOError as error:
        raise OutputError(
            f"'{folder}' is being written by another process; wait until that ends, or choose another name"
        ) from error
    except OSError as error:
        raise OutputError(
            f"'{folder}' cannot be made or locked: {error.strerror or error}. Does the folder '{folder.parent}' exist, "
            f"may you write there, and does its file system know locks?"
        ) from error
    hold(descriptor)
    try:
        yield
    finally:
        let_go(descriptor)


def _lock(folder: Path, name: str) -> int:
    for _ in range(100):
        folder.mkdir(exist_ok=True)
        try:
            descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had the lock may have removed the folder: then this is the lock of a file that has no name.
            if (folder / name).stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise OSError(errno.EBUSY, "it is removed and made all the time")
