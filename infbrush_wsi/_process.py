"""Settings of a process that computes for minutes."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK = 1 << 30
NEVER = -1


def keep_freed_memory() -> bool:
    """Let this process reuse the memory that it frees, where the C library is glibc.

    glibc gives blocks over 32 MiB back to the system at once, and takes them back page by page: a training step on
    65,536 points then spends a tenth of its time in a hundred thousand page faults. The process keeps its peak, not
    more. The command line calls this; programs that call `train` or a pipeline may.

    Returns:
        whether the setting was made (False on other systems, where nothing is changed).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK) and mallopt(M_TRIM_THRESHOLD, NEVER))
