"""Training of which every operation gives the same bits each time it is run on the same machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Let torch use deterministic algorithms only, and none that it would choose by timing; nothing if not `wanted`.

    On CPUs training is so anyway. On GPUs some operations become slower, and one that has no such algorithm raises.
    """
    if not wanted:
        yield
        return
    before, timed = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    os.environ.setdefault(WORKSPACE, ":4096:8")  # cuBLAS reads it when it is first used
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = timed
