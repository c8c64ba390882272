"""Loaded by the worker processes that a command starts: Ctrl-C is for the command, which then ends them."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Called by Dask in the main thread of a new worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
