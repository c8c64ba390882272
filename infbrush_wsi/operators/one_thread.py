"""One torch thread for a computation whose bits must not depend on the number of cores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch


@dataclass
class _Inside:
    """Who runs on one thread now, and what torch's number of threads was before the first of them."""

    threads: int = 0
    usual: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


_INSIDE = _Inside()
_HERE = threading.local()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Run the block's CPU operators on the calling thread; callers run several blocks side by side.

    Torch keeps the number both for each thread and, for threads to come, for the process. A block that ends must not
    leave behind what it found while another one was running.
    """
    if getattr(_HERE, "inside", False):
        yield
        return
    with _INSIDE.lock:
        found = torch.get_num_threads()  # of every thread: until it has asked, torch would overwrite what is set here
        if _INSIDE.threads == 0:
            _INSIDE.usual = found
        _INSIDE.threads += 1
    _HERE.inside = True
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _HERE.inside = False
        with _INSIDE.lock:
            _INSIDE.threads -= 1
            torch.set_num_threads(_INSIDE.usual)
