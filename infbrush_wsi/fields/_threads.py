"""Run serial kernels on several threads, safely after a fork.

Python threads and kernels that release the interpreter lock, instead of numba's thread pools: those end the process
when they are used in a forked child (loader workers) and some of them when two threads enter at once (Dask). Threads
live for one call only, so there is no pool that a fork could leave behind half-copied.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numba

from infbrush_wsi.errors import ConfigError

Part = TypeVar("Part")


def default_threads() -> int:
    """Threads that a call may use when its caller does not say.

    ``NUMBA_NUM_THREADS`` (by default the processors of this process) in the main thread; one in loader workers and
    other daemonic processes and in any other thread, where the caller already runs several calls side by side.
    """
    alone = threading.current_thread() is threading.main_thread() and not multiprocessing.current_process().daemon
    return max(1, int(numba.config.NUMBA_NUM_THREADS)) if alone else 1


def run_parts(work: Callable[[Part], object], parts: Sequence[Part], threads: int | None) -> None:
    """Call `work` on every part, on at most `threads` threads (None: :func:`default_threads`).

    Raises:
        ConfigError: if `threads` is below 1.
    """
    if threads is not None and threads < 1:
        raise ConfigError(f"threads must be at least 1 or None, not {threads}")
    count = min(len(parts), default_threads() if threads is None else threads)
    if count <= 1:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(count, thread_name_prefix="infbrush-fields") as pool:
        for _ in pool.map(work, parts):
            pass


def ranges(count: int, size: int) -> list[slice]:
    """Cut `count` items into slices of at most `size`."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
