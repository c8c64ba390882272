"""A frame's state survives the way to bytes and back; damaged bytes are refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from infbrush_wsi.canvas.state_bytes import dump_state, load_state, to_tensors
from infbrush_wsi.canvas.trajectory import FrameState
from infbrush_wsi.errors import PlanError


@st.composite
def states(draw):
    torch.manual_seed(draw(st.integers(0, 99)))
    steps, rows = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    kinds = draw(st.permutations([0, *draw(st.lists(st.integers(1, 3), max_size=4))]))
    sums = tuple(
        tuple(tuple(torch.randn(rows, 2, 3 + part) for part in range(kind)) or None for kind in kinds)
        for _ in range(steps)
    )
    guide = torch.randn(steps, 3, 2, 2).half() if draw(st.booleans()) else None
    grids = torch.randn(steps, rows, 4, draw(st.integers(1, 5)), 3).half().transpose(-1, -2)
    present = tuple(draw(st.lists(st.integers(0, 65_000), min_size=1, max_size=5, unique=True)))
    return FrameState(present, grids, sums, guide, torch.randn(draw(st.integers(1, 9)), 3).half())


def small_state():
    grid = torch.ones(2, 1, 4, 3, 3).half()
    sums = tuple((None, (torch.ones(1, 2),)) for _ in range(2))
    return FrameState((0,), grid, sums, torch.ones(2, 3, 2, 2).half(), torch.ones(5, 3).half())


def assert_same(one, other):
    assert one.present == other.present
    assert one.nbytes == other.nbytes
    assert [[v is None for v in step] for step in one.sums] == [[v is None for v in step] for step in other.sums]
    parts, others = to_tensors(one), to_tensors(other)
    assert parts.keys() == others.keys()
    for name, tensor in parts.items():
        assert tensor.dtype == others[name].dtype
        assert torch.equal(tensor, others[name]), name


@settings(deadline=None, max_examples=60)
@given(state=states(), form=st.sampled_from([bytes, bytearray, memoryview]))
def test_a_state_comes_back_bit_for_bit(state, form):
    assert_same(load_state(form(dump_state(state))), state)


@settings(deadline=None, max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_bytes_that_end_early_are_refused(share):
    data = dump_state(small_state())
    with pytest.raises(PlanError, match="make"):
        load_state(data[: int(share * len(data))])


@pytest.mark.parametrize("name", ["grids", "values", "present", "kinds", "sum-1-1-0"])
def test_a_state_without_one_of_its_tensors_is_refused(name):
    tensors = to_tensors(small_state())
    del tensors[name]
    with pytest.raises(PlanError, match=name):
        load_state(save(tensors))


@pytest.mark.parametrize("data", [b"", b"no plan", bytes(100), b"\xff" * 100])
def test_what_is_no_state_is_refused(data):
    with pytest.raises(PlanError, match="make"):
        load_state(data)


def test_a_real_state_comes_back(make_pipeline, paper_like):
    pipeline = make_pipeline(**paper_like)
    reader = pipeline("Normal", (40, 33), num_inference_steps=2, guidance_scale=1.5, tile=32).reader
    state = reader.plan.state(reader.stages[0], (0, 0))
    assert sum(value is not None for value in state.sums[0]) > 2
    assert_same(load_state(dump_state(state)), state)
