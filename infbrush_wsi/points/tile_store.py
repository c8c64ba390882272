"""A directory of arrays with a size limit, shared by any number of processes."""

from __future__ import annotations

import io
import mmap
import os
import uuid
import zlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
from filelock import BaseFileLock, FileLock
from numpy.typing import NDArray

from infbrush_wsi.errors import ConfigError, OutputError

LOCK_FILES = 64
KEEP_SHARE = 0.9
"""Eviction goes down to this share of the limit, so that it is not repeated for each new array."""
SCANS_PER_LIMIT = 64
"""The directory is measured anew after this share of the limit has been written here (others write too)."""


class TileStore:
    """uint8 arrays by name, one ``.npy`` file each, the least recently used deleted first.

    Files appear complete or not at all (written aside, then renamed) and are never changed, so any number of
    processes may share the directory. Deleting a file that somebody has mapped leaves the mapping valid (POSIX).

    Args:
        directory: made if it does not exist; nothing else should be kept there.
        limit_bytes: size to stay below. Writers measure the directory now and then, so that several of them
            together may exceed it for a moment by a few per cent.

    Raises:
        ConfigError: if the limit is not positive.
        OutputError: if the directory cannot be made.
    """

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        if limit_bytes <= 0:
            raise ConfigError(f"the cache needs a positive limit in bytes, not {limit_bytes}")
        self.directory = directory
        self._root = os.fspath(directory)
        self.limit_bytes = limit_bytes
        self._total: int | None = None
        self._unmeasured = 0
        try:
            (directory / "locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"the cache directory {directory} cannot be made: {error}") from error

    def lock(self, name: str) -> BaseFileLock:
        """A lock that threads and processes share, to let one of them make the array `name`."""
        return FileLock(self.directory / "locks" / f"{zlib.crc32(name.encode()) % LOCK_FILES}.lock")

    def load(self, name: str) -> NDArray[np.uint8] | None:
        """The array `name`, mapped read-only and marked as used; None if it is not there (any more)."""
        path = f"{self._root}/{name}.npy"
        try:
            found = _mapped(path)
            os.utime(path)
        except FileNotFoundError:
            return None
        except (ValueError, OSError):
            # Damaged from outside (a full disk, an editor): forget it and let the caller make it again.
            with suppress(OSError):
                Path(path).unlink()
            return None
        return found

    def save(self, name: str, array: NDArray[np.uint8]) -> None:
        """Store an array, making room first.

        Raises:
            ConfigError: if the array alone is larger than the limit.
            OSError: if it cannot be written; nothing is left behind.
        """
        if array.nbytes > self.limit_bytes:
            raise ConfigError(
                f"a tile of {array.nbytes} bytes does not fit the cache's limit_bytes={self.limit_bytes}: raise it"
            )
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._make_room(array.nbytes)
        temporary = path.with_name(f"{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("wb") as file:
                np.save(file, array, allow_pickle=False)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise

    def size(self) -> int:
        """Bytes in the directory now."""
        return sum(size for _, size, _ in self._files())

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.npy"

    def _files(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, path) of all arrays, also half-written ones."""
        files = []
        for path in self.directory.rglob("*"):
            if path.suffix in (".npy", ".tmp"):
                with suppress(OSError):
                    status = path.stat()
                    files.append((status.st_mtime, status.st_size, path))
        return files

    def _make_room(self, needed: int) -> None:
        self._unmeasured += needed
        known = self._total is not None and self._unmeasured < self.limit_bytes / SCANS_PER_LIMIT
        if known and (self._total or 0) + self._unmeasured <= self.limit_bytes:
            return
        files = self._files()
        total = sum(size for _, size, _ in files)
        if total + needed > self.limit_bytes:
            for _, size, path in sorted(files, key=lambda file: file[0]):
                if total + needed <= KEEP_SHARE * self.limit_bytes:
                    break
                # Another process may have been faster; the file is gone either way.
                with suppress(OSError):
                    path.unlink()
                total -= size
        self._total, self._unmeasured = total, needed


def _mapped(path: str) -> NDArray[np.uint8]:
    """What ``numpy.load(path, mmap_mode="r")`` gives, as a plain array and faster.

    A window of 16384² is spread over a thousand files, which are opened anew for every batch.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it holds anything else than one uint8 array.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        content = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)
    start = 10 + int.from_bytes(content[8:10], "little")
    shape, count = _layout(content[:start])
    return np.frombuffer(content, np.uint8, count, start).reshape(shape)


@lru_cache(maxsize=64)
def _layout(header: bytes) -> tuple[tuple[int, ...], int]:
    """Shape and number of values by the header of a ``.npy`` file; full tiles of a view share theirs."""
    stream = io.BytesIO(header)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("not an array of this store")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if fortran or dtype != np.uint8:
        raise ValueError("not an array of this store")
    return shape, int(np.prod(shape))
