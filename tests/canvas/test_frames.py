"""Frames cover every node with weights that sum to one, and are found from the nodes that they hold."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.canvas.frames import FrameLattice
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import ConfigError


@st.composite
def lattices(draw, most=160):
    side = draw(st.integers(3, 40))
    overlap = draw(st.integers(1, (side - 1) // 2))
    return FrameLattice(Shape(draw(st.integers(1, most)), draw(st.integers(1, most))), side, overlap)


def indices(frames):
    return list(itertools.product(range(frames.shape.h), range(frames.shape.w)))


@settings(deadline=None, max_examples=80)
@given(frames=lattices())
def test_weights_are_a_partition_of_unity_of_few_frames(frames):
    whole = Box(0, 0, frames.nodes.w, frames.nodes.h)
    weights = np.stack([frames.weights(frame, whole) for frame in indices(frames)])
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, atol=1e-6)
    assert (weights > 0).sum(axis=0).max() <= 4
    for frame, weight in zip(indices(frames), weights, strict=True):
        rows, columns = np.nonzero(weight)
        box = frames.box(frame)
        assert (box.y0, box.y1, box.x0, box.x1) == (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)


@settings(deadline=None, max_examples=80)
@given(frames=lattices())
def test_frames_have_about_their_side_and_overlap_by_what_was_asked_for(frames):
    stride = frames.side - frames.overlap
    for (i, j), box in ((frame, frames.box(frame)) for frame in indices(frames)):
        last = (i + 1 == frames.shape.h, j + 1 == frames.shape.w)
        for ends, length, first, total in zip(
            last, (box.h, box.w), (box.y0, box.x0), frames.nodes.as_tuple(), strict=True
        ):
            if not ends:
                assert length == frames.side
            elif total > frames.side:
                assert first + length == total
                assert 0.5 * stride + frames.overlap - 0.5 <= length <= 1.5 * stride + frames.overlap + 0.5
        if not last[1]:
            assert frames.box((i, j + 1)).x0 == box.x1 - frames.overlap
        if not last[0]:
            assert frames.box((i + 1, j)).y0 == box.y1 - frames.overlap


@settings(deadline=None, max_examples=120)
@given(frames=lattices(), data=st.data())
def test_frames_are_found_from_any_window(frames, data):
    y0, x0 = (data.draw(st.integers(0, n - 1)) for n in frames.nodes.as_tuple())
    h, w = data.draw(st.integers(1, frames.nodes.h - y0)), data.draw(st.integers(1, frames.nodes.w - x0))
    window = Box(x0, y0, w, h)
    expected = [frame for frame in indices(frames) if not frames.box(frame).intersect(window).empty]
    assert frames.touching(window) == expected
    np.testing.assert_allclose(sum(frames.weights(frame, window) for frame in expected), 1.0, atol=1e-6)


def test_a_window_of_a_giant_canvas_has_few_frames():
    frames = FrameLattice(Shape(1_000_000, 700_000), 32, 4)
    window = Box(651_234, 999_990, 9, 10)
    assert 1 <= len(frames.touching(window)) <= 4
    np.testing.assert_allclose(sum(frames.weights(f, window) for f in frames.touching(window)), 1.0, atol=1e-6)


@pytest.mark.parametrize(("side", "overlap"), [(10, 0), (10, 5), (10, 9), (10, -1)])
def test_frames_that_overlap_by_nothing_or_by_half_are_refused(side, overlap):
    with pytest.raises(ConfigError, match="overlap"):
        FrameLattice(Shape(50, 50), side, overlap)
