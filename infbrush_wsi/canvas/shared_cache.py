"""A byte-limited cache of computed arrays, first in memory, then on disk; each value is computed once at a time."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import zict

from infbrush_wsi.canvas.once import Once
from infbrush_wsi.errors import OutputError

DISK_BYTES = 16 << 30


class Sized(Protocol):
    """Has a number of bytes."""

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        ...


Value = TypeVar("Value", bound=Sized)


class SharedCache(Generic[Value]):
    """Values by key, shared by threads.

    Args:
        dump: value → bytes for the disk.
        load: the way back.
        memory: bytes in memory; what is used least goes to disk.
        folder: on disk, made when first needed; None: what leaves memory is computed again.
        disk: bytes on disk.
    """

    def __init__(
        self,
        dump: Callable[[Value], bytes],
        load: Callable[[bytes], Value],
        memory: int,
        folder: Path | None = None,
        disk: int = DISK_BYTES,
    ) -> None:
        self._lock = threading.Lock()
        self._codec = (dump, load)
        self._busy: dict[str, Once[Value]] = {}
        self._folder, self._disk, self.memory = folder, disk, memory
        self._values: Any = None

    def get(self, key: str, compute: Callable[[], Value]) -> Value:
        """The value; threads that ask for the same one wait for the first.

        Raises:
            BaseException: whatever `compute` raised, in every thread that waits.
            OutputError: if the disk is full.
        """
        with self._locked():
            store = self._store()
            try:
                known: Value = store[key]
                return known
            except KeyError:
                once = self._busy.setdefault(key, Once())
        value = once.get(compute)
        with self._locked():
            if self._busy.get(key) is once:
                del self._busy[key]
                self._store()[key] = value
        return value

    def busy(self, key: str) -> bool:
        """Whether a thread is computing the value."""
        with self._lock:
            return key in self._busy

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._store()

    def clear(self) -> None:
        """Forget everything and remove the folder."""
        with self._lock:
            self._values = None
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except OSError as error:
                raise OutputError(
                    f"cannot keep computed pixels in {self._folder}: {error.strerror or error}; free some space, "
                    "choose another folder (workdir), or keep nothing on disk (limits=CacheLimits(disk=0))"
                ) from error

    def _store(self) -> Any:
        if self._values is None:
            if self._folder is None:
                self._values = zict.LRU(self.memory, {}, weight=_weight)
            else:
                files = zict.Func(*self._codec, zict.File(self._folder))
                slow = zict.LRU(self._disk, files, weight=_weight)  # an estimate of the file's size
                self._values = zict.Buffer({}, slow, n=self.memory, weight=_weight)
        return self._values


def _weight(key: str, value: Sized) -> int:
    return int(value.nbytes)
