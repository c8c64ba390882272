"""Largest resident memory of this process (Linux).

Not from getrusage: there a process begins with the peak of the one that started it.
"""

from __future__ import annotations

from pathlib import Path


def forget_peak() -> None:
    """Let the peak begin anew with what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    """The peak in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
