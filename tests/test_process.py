"""Keeping freed memory: counted in page faults of a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource, sys
from infbrush_wsi._process import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def use():
    block = libc.malloc(64 << 20)
    ctypes.memset(block, 1, 64 << 20)
    libc.free(block)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    faults = {}
    for mode in ("keep", "plain"):
        done = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
        faults[mode] = int(done.stdout)
    assert faults["keep"] * 10 < faults["plain"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_between_kept_blocks_is_returned():
    """A process of its own, because its heap must be known."""
    code = """
import numpy as np
from infbrush_wsi._process import keep_freed_memory, return_freed_memory
keep_freed_memory()
def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
blocks = [np.ones(1 << 17) for _ in range(200)]
kept = blocks[::10]
del blocks
before = resident()
assert not return_freed_memory()  # the last time was when the module was loaded
assert return_freed_memory(seconds=0.0)
print(before - resident(), sum(block.sum() for block in kept))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    returned, total = map(float, done.stdout.split())
    assert returned > 100
    assert total == 20 * (1 << 17)
