"""Open files, shared by all sources of a process: lent to one thread at a time, never carried over a fork.

Sources hold no handle themselves. So they pickle as plain data, thousands of them do not exhaust the file
descriptors, and a forked or spawned loader worker opens its own files on first use.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

Key = tuple[Hashable, ...]


class HandlePool:
    """Idle handles by key, the least recently used closed first.

    Args:
        limit: most idle handles kept open; those lent out are not counted.
    """

    def __init__(self, limit: int = 64) -> None:
        self.limit = limit
        self._start()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, tuple[Key, Any]] = OrderedDict()

    def _after_fork(self) -> None:
        # The parent's handles are kept referenced: their destructors may take a library lock that some thread of
        # the parent held at the moment of the fork and that nobody in this process will ever release.
        self._inherited = (self._idle, getattr(self, "_inherited", None))
        self._start()

    def _take(self, key: Key) -> Any | None:
        with self._lock:
            for number in reversed(self._idle):
                if self._idle[number][0] == key:
                    return self._idle.pop(number)[1]
        return None

    def _give(self, key: Key, handle: Any) -> None:
        closing = []
        with self._lock:
            self._idle[id(handle)] = (key, handle)
            while len(self._idle) > self.limit:
                closing.append(self._idle.popitem(last=False)[1][1])
        for old in closing:
            _close(old)

    @contextmanager
    def lend(self, key: Key, opener: Callable[[], Any]) -> Iterator[Any]:
        """Borrow the handle `key` for the ``with`` block, opening it with `opener` if none is idle.

        A handle whose block raised is closed and not lent again: OpenSlide repeats its first error for ever.
        """
        handle = self._take(key)
        if handle is None:
            handle = opener()
        pid = os.getpid()
        try:
            yield handle
        except BaseException:
            _close(handle)
            raise
        if pid == os.getpid():
            self._give(key, handle)

    def drop(self, prefix: Key) -> None:
        """Close the idle handles whose key starts with `prefix`."""
        with self._lock:
            numbers = [number for number, (key, _) in self._idle.items() if key[: len(prefix)] == prefix]
            closing = [self._idle.pop(number)[1] for number in numbers]
        for handle in closing:
            _close(handle)


def _close(handle: Any) -> None:
    with suppress(Exception):
        handle.close()


POOL = HandlePool()
"""The process-wide pool."""
