"""One writer at a time for a folder, also over several processes."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infbrush_wsi.errors import OutputError

NAME = "lock"


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Make `folder` if it is not there, and be its only writer; the lock ends with the process, however that ends.

    Raises:
        OutputError: if another process or thread writes there, or if the folder cannot be made or locked.
    """
    try:
        descriptor = _lock(folder)
    except BlockingIOError as error:
        raise OutputError(
            f"'{folder}' is being written by another process; wait until that ends, or choose another name"
        ) from error
    except OSError as error:
        raise OutputError(
            f"'{folder}' cannot be made or locked: {error.strerror or error}. Does the folder '{folder.parent}' exist, "
            f"may you write there, and does its file system know locks?"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int:
    for _ in range(100):
        folder.mkdir(exist_ok=True)
        try:
            descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had the lock may have removed the folder: then this is the lock of a file that has no name.
            if (folder / NAME).stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise OSError(errno.EBUSY, "it is removed and made all the time")
