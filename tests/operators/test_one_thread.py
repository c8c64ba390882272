"""Blocks on one thread, side by side and within each other, leave torch's number of threads as it was."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from infbrush_wsi.operators.one_thread import one_torch_thread


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def of_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_a_block_within_a_block_does_not_end_it() -> None:
    with one_torch_thread():
        with one_torch_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_blocks_that_overlap_leave_the_number_for_threads_to_come() -> None:
    first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with one_torch_thread():
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    def second() -> int:
        first_is_in.wait(10)
        with one_torch_thread():
            second_is_in.set()
            first_is_out.wait(10)
            return torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.submit(first), pool.submit(second)
        one.result()
        assert other.result() == 1
    assert of_a_new_thread() == 3
    assert torch.get_num_threads() == 3


def test_an_error_ends_a_block() -> None:
    with pytest.raises(ZeroDivisionError), one_torch_thread():
        _ = 1 / 0
    assert (torch.get_num_threads(), of_a_new_thread()) == (3, 3)
