"""What a test may not do for a while: write large files, or write where only an administrator may."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VERSION = 0x20080522
_OVERRIDES = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root writes where nobody may."""


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as on a disk that is full; Python ignores SIGXFSZ."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write in a folder, root neither (in this thread)."""
    before = folder.stat().st_mode
    folder.chmod(0o555)
    kept = _effective() if os.geteuid() == 0 else None
    try:
        if kept is not None:
            _set_effective(kept & ~_OVERRIDES)
        yield
    finally:
        if kept is not None:
            _set_effective(kept)
        folder.chmod(before)


def _capabilities() -> tuple[ctypes.Array[ctypes.c_uint32], ctypes.Array[ctypes.c_uint32]]:
    """Header and data of capget: effective, permitted, inheritable, low words first."""
    header, data = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capget(header, data):
        raise OSError(ctypes.get_errno(), "capget")
    return header, data


def _effective() -> int:
    return int(_capabilities()[1][0])


def _set_effective(mask: int) -> None:
    header, data = _capabilities()
    data[0] = mask
    if ctypes.CDLL(None, use_errno=True).capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")
