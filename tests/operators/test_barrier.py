"""Programs that stop at global sums: whole and in parts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from infbrush_wsi.operators.barrier import Barrier, Program, run_whole, run_with
from infbrush_wsi.operators.partial import GridPartial, SumPartial


def centred_twice(x: Tensor, closed: list[bool] | None = None) -> Program:
    """Subtract the global mean, then divide by the global root mean square."""
    count = torch.tensor(float(len(x)))
    try:
        mean = yield Barrier(lambda: SumPartial((x.sum(), count)), lambda p: p.tensors[0] / p.tensors[1])
        x = x - mean
        power = yield Barrier(lambda: SumPartial(((x**2).sum(), count)), lambda p: (p.tensors[0] / p.tensors[1]).sqrt())
        return x / power
    finally:
        if closed is not None:
            closed.append(True)


def test_parts_equal_the_whole() -> None:
    x = torch.randn(100)
    expected = run_whole(centred_twice(x))
    torch.testing.assert_close(expected, (x - x.mean()) / x.std(unbiased=False))
    parts, known = x.split(33), []
    for _ in range(2):
        total = None
        for part in parts:
            barrier = run_with(centred_twice(part), known)
            assert isinstance(barrier, Barrier)
            total = barrier.partial.added_to(total)
        known.append(barrier.finish(total))
    found = torch.cat([run_with(centred_twice(part), known) for part in parts])
    torch.testing.assert_close(found, expected)


def test_a_stopped_program_is_closed() -> None:
    closed: list[bool] = []
    assert isinstance(run_with(centred_twice(torch.randn(3), closed), []), Barrier)
    assert closed == [True]


def test_sums_leave_the_first_part_alone() -> None:
    first, second = SumPartial((torch.ones(2),)), SumPartial((torch.full((2,), 2.0),))
    total = second.added_to(first.added_to(None))
    assert total.tensors[0].tolist() == [3, 3]
    assert first.tensors[0].tolist() == [1, 1]


def test_grid_parts_land_at_their_origin() -> None:
    def part(origin: tuple[int, int], value: float) -> GridPartial:
        return GridPartial(torch.full((1, 2, 2, 3), value), torch.full((1, 1, 2, 3), 2.0), origin, (4, 5))

    total = part((2, 2), 4.0).added_to(part((0, 0), 1.0).added_to(None))
    total = part((1, 1), 6.0).added_to(total)
    mean = total.mean()
    assert mean.shape == (1, 2, 4, 5)
    assert mean[0, 0].tolist() == [
        [0.5, 0.5, 0.5, 0.0, 0.0],
        [0.5, 1.75, 1.75, 3.0, 0.0],
        [0.0, 3.0, 2.5, 2.5, 2.0],
        [0.0, 0.0, 2.0, 2.0, 2.0],
    ]


def test_a_part_that_is_the_whole_grid_needs_no_copy() -> None:
    whole = GridPartial(torch.ones(1, 1, 2, 2), torch.tensor([[[[1.0, 2.0], [0.0, 4.0]]]]), (0, 0), (2, 2))
    assert whole.mean()[0, 0].tolist() == [[1.0, 0.5], [0.0, 0.25]]


def test_programs_without_barriers() -> None:
    def plain() -> Program:
        return torch.ones(1)
        yield  # makes it a generator

    assert run_whole(plain()).item() == 1
    assert run_with(plain(), []).item() == 1


@pytest.mark.parametrize("known", [0, 1])
def test_stops_at_the_first_unknown_value(known: int) -> None:
    barrier = run_with(centred_twice(torch.arange(4.0)), [torch.tensor(1.5)][:known])
    assert isinstance(barrier, Barrier)
    assert float(barrier.partial.tensors[0]) == (6.0 if known == 0 else 5.0)
