"""The last lines of a command that took its time: what was written, how large it is, what it took, how to open it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from infbrush_wsi.cli.console import notice, out
from infbrush_wsi.cli.progress import duration

STATUS = Path("/proc/self/status")
PEAK = "VmHWM:"
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
STEP = 1024
TWO_DIGITS = 9.95
"""From here on a digit after the point says nothing more."""


class Summary:
    """Begun when a command begins, told when it has ended."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def tell(self, path: Path, *facts: str, then: str = "", beside: tuple[Path, ...] = ()) -> None:
        """Print ``path: facts, size, time, peak memory`` as the result, and how to go on as a message.

        Args:
            path: file or folder that was written.
            *facts: what is in it.
            then: how to open it.
            beside: other files and folders that belong to it and count.
        """
        size = sum(map(size_on_disk, (path, *beside)))
        parts = [*filter(None, facts), f"{readable(size)} on disk", duration(time.monotonic() - self._started)]
        peak = peak_memory()
        parts += [f"{readable(peak)} of memory at the peak"] if peak is not None else []
        out().print(f"{path}: {', '.join(parts)}", soft_wrap=True, markup=False)
        if then:
            notice(then)


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 of what is not there."""
    if not path.is_dir():
        return path.lstat().st_size if os.path.lexists(path) else 0
    total = 0
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                total += size_on_disk(Path(entry))
            else:
                total += entry.stat(follow_symlinks=False).st_size
    return total


def peak_memory() -> int | None:
    """Largest resident memory of this process so far in bytes; None where the system does not say it.

    Not from getrusage: there a process inherits the peak of the one that started it. Worker processes do not count.
    """
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith(PEAK)), None)
    return None if found is None else int(found.split()[1]) * STEP


def readable(size: int) -> str:
    """'912 B', '1.5 MiB' or '23 GiB'."""
    value, number = float(size), 0
    while value >= STEP and number + 1 < len(UNITS):
        value, number = value / STEP, number + 1
    return f"{value:.1f} {UNITS[number]}" if number and value < TWO_DIGITS else f"{value:.0f} {UNITS[number]}"
