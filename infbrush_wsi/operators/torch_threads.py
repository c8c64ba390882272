"""Numba's parallel kernels on as many threads as torch uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numba
import torch


@contextmanager
def torch_threads() -> Iterator[None]:
    """Run numba kernels with torch's number of threads, and leave that number as it is.

    Numba's OpenMP layer lives in torch's OpenMP runtime and, when it starts, sets the runtime's number of threads to
    all cores. Without this, a process that was told to use one thread (a rank of a distributed run, a Dask worker)
    would use all of them from its first sparse product on.
    """
    threads, before = torch.get_num_threads(), numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
