"""The sparse product against a dense matrix, forward and backward."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch
from scipy import sparse

from infbrush_wsi.operators.sparse_product import sparse_product
from infbrush_wsi.points.support import SparseMatrix


def matrix(rows: int, columns: int, seed: int = 0) -> sparse.csr_array:
    found = sparse.random_array((rows, columns), density=0.2, rng=np.random.default_rng(seed), dtype=np.float32)
    return sparse.csr_array(found)


@pytest.mark.parametrize(("rows", "columns", "channels"), [(20, 30, 4), (1, 50, 1), (50, 1, 3), (64, 64, 17)])
def test_equals_the_dense_product(rows: int, columns: int, channels: int) -> None:
    m = matrix(rows, columns)
    dense = torch.from_numpy(m.toarray()).double()
    x = torch.randn(columns, channels, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(rows, channels, dtype=torch.float64)
    found = sparse_product(SparseMatrix.from_scipy(m), x)
    torch.testing.assert_close(found, dense @ x, rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad(found, x, upstream)
    torch.testing.assert_close(gradient, dense.T @ upstream, rtol=1e-12, atol=1e-12)


def test_gradients_by_finite_differences() -> None:
    m = SparseMatrix.from_scipy(matrix(6, 9))
    x = torch.randn(9, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: sparse_product(m, a), (x,))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_low_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    m = matrix(5, 400)
    x = torch.randn(400, 3).to(dtype).requires_grad_()
    out = sparse_product(SparseMatrix.from_scipy(m), x)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, torch.from_numpy(m.toarray()) @ x.float(), rtol=1e-5, atol=1e-5)
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype


def test_non_contiguous_rows() -> None:
    m = matrix(7, 11)
    x = torch.randn(4, 11).T
    torch.testing.assert_close(sparse_product(SparseMatrix.from_scipy(m), x), torch.from_numpy(m.toarray()) @ x)


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    m, x = SparseMatrix.from_scipy(matrix(500, 700)), torch.randn(700, 9)
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("this machine has one core")
    before, outs = torch.get_num_threads(), []
    for threads in (1, 2):
        try:
            torch.set_num_threads(threads)  # numba follows, see `torch_threads`
            outs.append(sparse_product(m, x))
        finally:
            torch.set_num_threads(before)
    assert torch.equal(*outs)
