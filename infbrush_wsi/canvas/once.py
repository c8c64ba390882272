"""A long computation that threads share: one of them does it, the others wait for its result or its error."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Once(Generic[Value]):
    """The value of a computation, computed at the first request.

    If it fails, the threads that waited for it get the same error (with a plain lock each of them would begin the hours
    of work again), and a later request tries anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._future: Future[Value] | None = None

    @property
    def done(self) -> bool:
        """Whether the value is there."""
        future = self._future
        return future is not None and future.done()

    def get(self, compute: Callable[[], Value]) -> Value:
        """The value; `compute` makes it if it is not there and no other thread is about it.

        Raises:
            BaseException: whatever `compute` raised.
        """
        with self._lock:
            first, future = self._future is None, self._future or Future()
            self._future = future
        if not first:
            return future.result()
        try:
            value = compute()
        except BaseException as error:
            self._future = None
            future.set_exception(error)
            raise
        else:
            future.set_result(value)
            return value
        finally:
            del future  # an error refers to this frame: a cycle would keep the canvas and its files
