"""Parts of a step that Ctrl-C may not cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let an interrupt wait for the end of the block, in the main thread; elsewhere there are none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        yield
    finally:
        # None: the handler is not Python's, and cannot be set again.
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)
        if caught:
            signal.raise_signal(signal.SIGINT)
