"""Settings of a process that computes for minutes."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGEST_BLOCK = 1 << 30
NEVER = -1
SECONDS_BETWEEN = 1.0
SPINS = "2000"
"""Turns of libgomp's waiting loop before a thread sleeps: some tens of microseconds."""


def prepare_process() -> None:
    """Both settings below, as the command line makes them; programs that train or generate may call it too.

    To be called before torch is imported.
    """
    wait_briefly()
    keep_freed_memory()


def wait_briefly() -> None:
    """Let OpenMP's threads sleep after some microseconds of waiting for each other, unless the user chose otherwise.

    Threads that spin as long as libgomp lets them burn the time slices of whoever has work, as soon as any other
    process uses a core: training then is several times slower. Threads that sleep at once are slower on an idle
    machine.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def keep_freed_memory() -> bool:
    """Let this process reuse the memory that it frees, where the C library is glibc.

    glibc gives blocks over 32 MiB back to the system at once, and takes them back page by page: a training step on
    65,536 points then meets many thousand page faults. The process keeps its peak, not more: there are no more heaps
    than processors, because what one of them keeps the others cannot use.

    Returns:
        whether the setting was made (False on other systems, where nothing is changed).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    heaps = len(os.sched_getaffinity(0))
    return all(
        (mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK), mallopt(M_TRIM_THRESHOLD, NEVER), mallopt(M_ARENA_MAX, heaps))
    )


class _Returning:
    """Gives freed memory back now and then."""

    def __init__(self) -> None:
        self._lock, self._last = threading.Lock(), time.monotonic()

    def __call__(self, seconds: float = SECONDS_BETWEEN) -> bool:
        """Give the pages of freed memory back to the system, unless that was done a moment ago.

        What is kept (cached tiles) and what is not lie side by side in glibc's heap, so that a process that computes
        tiles for hours would hold more and more free memory between them.

        Args:
            seconds: that must have passed since the last time; finding the pages takes some milliseconds.

        Returns:
            whether it was done.
        """
        if not sys.platform.startswith("linux"):
            return False
        with self._lock:
            now = time.monotonic()
            if now - self._last < seconds:
                return False
            self._last = now
        try:
            return bool(ctypes.CDLL("libc.so.6").malloc_trim(0))
        except (OSError, AttributeError):  # another C library
            return False


return_freed_memory = _Returning()
