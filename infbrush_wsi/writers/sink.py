"""Where dask puts its blocks: a Zarr array whose every chunk has one writer."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from infbrush_wsi.errors import OutputError

if TYPE_CHECKING:
    import zarr


class Progress:
    """Counts written chunks and tells a callback (done, total), one call at a time.

    It also is the door of the store: once closed, no block is written any more.
    """

    def __init__(self, total: int, callback: Callable[[int, int], None] | None) -> None:
        self._total = total
        self._callback = callback
        self._done = 0
        self._writing = 0
        self._open = True
        self._changed = threading.Condition()

    def begin(self) -> None:
        """Announce a write.

        Raises:
            OutputError: if the store is closed.
        """
        with self._changed:
            if not self._open:
                raise OutputError("the store is no longer written: another block failed, or the run was stopped")
            self._writing += 1

    def end(self, *, written: bool) -> None:
        """Announce that a write is over, and tell the callback of it if it went well."""
        with self._changed:
            self._writing -= 1
            self._changed.notify_all()
            if written:
                self._done += 1
                if self._callback is not None:
                    self._callback(self._done, self._total)

    def finish(self) -> None:
        """Tell the callback that all is written, where blocks went through copies that do not count."""
        with self._changed:
            if self._done < self._total and self._callback is not None:
                self._callback(self._total, self._total)

    def close(self) -> None:
        """Let no further write begin and wait for those under way: after that nothing touches the files."""
        with self._changed:
            self._open = False
            self._changed.wait_for(lambda: self._writing == 0)


class ChunkSink:
    """A target for ``dask.array.store``: writes blocks and counts them.

    On another process (dask.distributed) it is a copy that writes without counting.
    """

    def __init__(self, array: zarr.Array[Any], progress: Progress | None) -> None:
        self._array = array
        self._progress = progress

    def __setitem__(self, region: Sequence[slice], block: NDArray[Any]) -> None:
        if self._progress is None:
            self._array[tuple(region)] = block
            return
        self._progress.begin()
        written = False
        try:
            self._array[tuple(region)] = block
            written = True
        finally:
            self._progress.end(written=written)

    def __dask_tokenize__(self) -> str:
        return f"chunk-sink-{uuid.uuid4().hex}"

    def __reduce__(self) -> tuple[Any, ...]:
        return ChunkSink, (self._array, None)
