"""Processes that are forked from one that has imported everything, and killed: after a time, or at a change of a file.

The parent computes nothing, so a child begins at once and shares nothing with the next but the disk.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "shutil.rmtree")
"""Audit events of changes, beside files that are opened for writing."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
POLL = 0.0005


@dataclass(frozen=True)
class Blow:
    """When a process is killed.

    Attributes:
        change: at which change of a file below its folder, from 1 on; 0: at none.
        seconds: after that change, or after the start; 0 with a change: right before the change is made.
    """

    change: int
    seconds: float


@dataclass(frozen=True)
class End:
    """How a process ended.

    Attributes:
        killed: by the blow; else it came to its own end before.
        changes: that it made below its folder, if it came to its own end.
        seconds: that it lived.
    """

    killed: bool
    changes: int
    seconds: float


def run_killed(work: Callable[[], object], folder: Path, blow: Blow | None, limit: float = 120.0) -> End:
    """Run `work` in a process of its own that gets a blow.

    Args:
        work: what the process does; it may raise nothing.
        folder: whose changes count.
        blow: None: it may come to its end.
        limit: seconds after which it is taken to hang.

    Raises:
        RuntimeError: if the process fails, or hangs.
    """
    reading, writing = os.pipe()
    start = time.monotonic()
    process = os.fork()
    if not process:
        os.close(reading)
        _live(work, folder, blow, writing)
    os.close(writing)
    try:
        if blow is not None:
            if blow.change:
                select.select([reading], [], [], limit)  # until the change is due, or the child is gone
            _kill_after(process, blow.seconds if blow.seconds or not blow.change else limit)
        code = _end(process, start + limit)
        if code not in (0, -signal.SIGKILL):
            raise RuntimeError(f"a process ended with {code}")
        word = b"" if code else os.read(reading, 64)
        return End(bool(code), int(word.split()[-1]) if word else 0, time.monotonic() - start)
    finally:
        os.close(reading)


def _live(work: Callable[[], object], folder: Path, blow: Blow | None, writing: int) -> None:
    """All that the child does; never returns."""
    changes = _Changes(folder, blow, writing)
    code = 1
    try:
        sys.addaudithook(changes)
        work()
        os.write(writing, b" %d" % changes.count)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


class _Changes:
    """An audit hook that counts changes below a folder, and ends the process or tells the parent at one of them."""

    def __init__(self, folder: Path, blow: Blow | None, writing: int) -> None:
        self.count, self._below, self._blow, self._writing = 0, f"{folder}{os.sep}", blow, writing

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not arguments[2] & WRITING:
                return
        elif event not in CHANGES:
            return
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
        if not path.startswith(self._below):
            return
        self.count += 1
        if self._blow is not None and self._blow.change == self.count:
            if not self._blow.seconds:
                os.kill(os.getpid(), signal.SIGKILL)
            os.write(self._writing, b"!")


def _kill_after(process: int, seconds: float) -> None:
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(POLL)
    os.kill(process, signal.SIGKILL)


def _end(process: int, last: float) -> int:
    """Exit code of a process that is about to end."""
    while time.monotonic() < last:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raise RuntimeError("a process hung")
