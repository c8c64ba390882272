"""How this package compiles its loops: one decorator, so that every kernel has the same guarantees.

* No ``fastmath`` and no contraction: IEEE operations in the written order, so that two kernels that spell the same
  sum give the same bits.
* ``nogil`` and *not* ``parallel``: numba's own thread pools (OpenMP, workqueue) end the process when they are used
  after a fork, or from two threads at once. Our kernels are serial over a range of work and
  :mod:`infbrush_wsi.fields._threads` runs ranges side by side, which is safe in forked loader workers and under Dask.
* ``cache``: compiled once a machine. Numba looks only at the file of the outermost function to decide whether its
  cached code is stale: after changing a function that kernels of other files call, delete ``__pycache__/*.nb*``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a serial kernel to machine code on its first call; it releases the interpreter lock while it runs."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def compiled_inline(function: Function) -> Function:
    """Compile a scalar helper so that it becomes part of the loop that calls it (and is vectorised with it)."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)(function))
