"""Numba keeps to torch's number of threads, in a process of its own because the runtime starts once."""

from __future__ import annotations

import subprocess
import sys

import numba
import pytest
import torch

from infbrush_wsi.operators.torch_threads import torch_threads

SCRIPT = """
import numpy as np, scipy.sparse as sparse, torch
from infbrush_wsi.operators.sparse_product import sparse_product
from infbrush_wsi.points.support import SparseMatrix
torch.set_num_threads(1)
matrix = SparseMatrix.from_scipy(sparse.csr_array(np.eye(4, dtype=np.float32)))
assert torch.equal(sparse_product(matrix, torch.ones(4, 2)), torch.ones(4, 2))
assert torch.get_num_threads() == 1, torch.get_num_threads()
"""


@pytest.mark.slow  # imports everything anew
def test_the_first_kernel_does_not_take_all_cores() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_numba_follows_torch_within_and_not_after() -> None:
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("this machine has one core")
    before = torch.get_num_threads(), numba.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch_threads():
            assert numba.get_num_threads() == 1
        assert numba.get_num_threads() == before[1]
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before[0])
