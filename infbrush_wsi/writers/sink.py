"""Where blocks go: a Zarr array whose every file has one writer."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import NDArray

from infbrush_wsi.errors import OutputError
from infbrush_wsi.writers.journal import Journal
from infbrush_wsi.writers.units import Unit

if TYPE_CHECKING:
    import zarr
    from zarr.storage import LocalStore


class Progress:
    """Counts written units and tells a callback (done, total), one call at a time.

    It also is the door of the store: once closed, no block is written any more.

    Args:
        total: units in all.
        callback: called with (done, total).
        done: units that were there before; told at once if there are any.
    """

    def __init__(self, total: int, callback: Callable[[int, int], None] | None, done: int = 0) -> None:
        self._total = total
        self._callback = callback
        self._done = 0
        self._writing = 0
        self._open = True
        self._changed = threading.Condition()
        self.reach(done)

    @property
    def done(self) -> int:
        """Units written so far."""
        return self._done

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
                self._advance(self._done + 1)

    def reach(self, done: int) -> None:
        """Tell that `done` units are written: copies in other processes do not count."""
        with self._changed:
            if done > self._done:
                self._advance(done)

    def finish(self) -> None:
        """Tell the callback that all is written, if it does not know."""
        self.reach(self._total)

    def close(self) -> None:
        """Let no further write begin and wait for those under way: after that nothing touches the files."""
        with self._changed:
            self._open = False
            self._changed.wait_for(lambda: self._writing == 0)

    def _advance(self, done: int) -> None:
        self._done = done
        if self._callback is not None:
            self._callback(done, self._total)


class ChunkSink:
    """Writes the blocks of one level, notes them in the journal and counts them.

    In another process it is a copy that writes and notes without counting.

    Args:
        array: shape (c, h, w), in a folder.
        progress: what counts; None in other processes.
        journal: where finished units are noted; None: nowhere.
        level: number of the level.
    """

    def __init__(
        self, array: zarr.Array[Any], progress: Progress | None, journal: Journal | None = None, level: int = 0
    ) -> None:
        self._array, self._progress, self._journal, self._level = array, progress, journal, level

    def __setitem__(self, region: Sequence[slice], block: NDArray[Any]) -> None:
        if self._progress is None:
            self._write(region, block)
            return
        self._progress.begin()
        written = False
        try:
            self._write(region, block)
            written = True
        finally:
            self._progress.end(written=written)

    def _write(self, region: Sequence[slice], block: NDArray[Any]) -> None:
        root = store_folder(self._array)
        # A worker that was believed dead must not make the folder again, nor one that sees another file system.
        if not root.is_dir():
            raise OutputError(
                f"'{root}' is not there: either the write has ended meanwhile, or this process does not see the file "
                f"system of the one that began it; all workers must share it"
            )
        self._array[tuple(region)] = block
        if self._journal is not None:
            _, h, w = self._array.shards or self._array.chunks
            unit = Unit(self._level, region[1].start // h, region[2].start // w)
            self._journal.add(unit, unit_file(self._array, unit))

    def __dask_tokenize__(self) -> str:
        return f"chunk-sink-{uuid.uuid4().hex}"

    def __reduce__(self) -> tuple[Any, ...]:
        return ChunkSink, (self._array, None, self._journal, self._level)


def store_folder(array: zarr.Array[Any]) -> Path:
    """The folder of the store that an array is in."""
    return cast("LocalStore", array.store).root


def unit_file(array: zarr.Array[Any], unit: Unit) -> Path:
    """The file of a unit of the level that `array` is."""
    return store_folder(array) / array.path / array.metadata.encode_chunk_key((0, unit.row, unit.column))
