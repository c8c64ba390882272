"""The state of a generation on disk: memory follows the tile, not the canvas."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import OutputError

UNSUPPORTED = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


class StateArray:
    """A float32 or uint8 array (h, w, C) in a file, read and written by windows.

    Args:
        path: of the raw file, created or overwritten.
        shape: rows and columns.
        channels: C.
        dtype: numpy dtype.

    Raises:
        OutputError: if the disk has no room for it; no file is left.
    """

    def __init__(self, path: Path, shape: Shape, channels: int, dtype: type[np.generic] = np.float32) -> None:
        self.path, self.channels, self.dtype = path, channels, dtype
        self.shape = shape
        size = shape.count * channels * np.dtype(dtype).itemsize
        try:
            with path.open("wb") as file:
                file.truncate(size)
                _reserve(file.fileno(), size)
        except OSError as error:
            self.remove()
            raise OutputError(
                f"cannot make a scratch file of {-(-size >> 20)} MiB at {path}: {error.strerror or error}; "
                "free some space or choose another folder (workdir)"
            ) from error

    def open(self) -> NDArray[Any]:
        """The whole array, mapped read-only; mapped anew at each use so that pages do not pile up in memory."""
        shape = (*self.shape.as_tuple(), self.channels)
        return np.memmap(self.path, self.dtype, "r", shape=shape)

    def read(self, box: Box) -> NDArray[Any]:
        """A copy of a window inside the array."""
        return np.array(self.open()[box.slices])

    def write(self, box: Box, values: NDArray[Any]) -> None:
        """Store a window.

        Raises:
            OutputError: if the disk is full.
        """
        # Not through a mapping: where the file system cannot reserve room, a full disk would end the process (SIGBUS).
        pixel = self.channels * np.dtype(self.dtype).itemsize
        lines = np.ascontiguousarray(values, self.dtype).reshape(box.h, -1)
        try:
            with self.path.open("r+b") as file:
                for row, line in enumerate(lines, start=box.y0):
                    file.seek((row * self.shape.w + box.x0) * pixel)
                    file.write(line.data)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


class Windowed(Protocol):
    """An image (h, w, C) that is read by windows."""

    @property
    def shape(self) -> Shape:
        """Rows and columns."""
        ...

    def read(self, box: Box) -> NDArray[Any]:
        """A window inside the image."""
        ...


def read_mirrored(state: Windowed, box: Box) -> NDArray[Any]:
    """A window that may reach outside; half-sample symmetric there, as the mollifier sees true image borders."""
    rows = _mirrored(box.y0, box.y1, state.shape.h)
    columns = _mirrored(box.x0, box.x1, state.shape.w)
    inside = Box(int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
    part = state.read(inside)
    return np.asarray(part[np.ix_(rows - inside.y0, columns - inside.x0)])


def _mirrored(start: int, stop: int, length: int) -> NDArray[np.int64]:
    at = np.arange(start, stop) % (2 * length)
    return np.where(at < length, at, 2 * length - 1 - at)


def _reserve(descriptor: int, size: int) -> None:
    """Take the room on the disk now, so that its lack is noticed before hours of work; where that is possible."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
