"""Indices of a lazy level mean what they mean to numpy, and read no more than they need."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.canvas.indexing import window_of

SHAPE = (11, 17, 3)
ARRAY = np.arange(np.prod(SHAPE)).reshape(SHAPE)


def one_axis(length):
    index = st.integers(-length, length - 1)
    bound = st.none() | st.integers(-2 * length, 2 * length)
    step = st.none() | st.integers(-4, 4).filter(bool)
    return index | st.builds(slice, bound, bound, step)


def arrays(length):
    listed = st.lists(st.integers(-length, length - 1), max_size=6)
    return listed.map(lambda v: np.array(v, int)) | st.lists(st.booleans(), min_size=length, max_size=length).map(
        np.array
    )


@st.composite
def keys(draw):
    axes = [draw(one_axis(n)) for n in SHAPE]
    if draw(st.booleans()):
        axis = draw(st.integers(0, 1))
        axes = [slice(None) if isinstance(key, int) else key for key in axes]
        axes[axis] = draw(arrays(SHAPE[axis]))
    form = draw(st.sampled_from(["all", "first", "short", "ellipsis first", "ellipsis last", "ellipsis inside"]))
    return {
        "all": tuple(axes),
        "first": axes[0],
        "short": tuple(axes[:2]),
        "ellipsis first": (..., axes[2]),
        "ellipsis last": (axes[0], ...),
        "ellipsis inside": (axes[0], ..., axes[2]),
    }[form]


def picked(key):
    box, local = window_of(key, SHAPE)
    assert 0 <= box.y0 <= box.y1 <= SHAPE[0]
    assert 0 <= box.x0 <= box.x1 <= SHAPE[1]
    return box, ARRAY[box.slices][local]


@settings(deadline=None, max_examples=150)
@given(key=keys())
def test_any_key_picks_what_numpy_picks_from_the_smallest_window(key):
    box, found = picked(key)
    expected = ARRAY[key]
    np.testing.assert_array_equal(found, expected)
    if expected.size:
        rows, columns = np.unravel_index(expected.ravel() // SHAPE[2], SHAPE[:2])
        assert (box.y0, box.y1) == (rows.min(), rows.max() + 1)
        assert (box.x0, box.x1) == (columns.min(), columns.max() + 1)


@pytest.mark.parametrize("key", [np.s_[:0], np.s_[5:5, 3], np.s_[3:1, ::-1], np.s_[np.array([], int)], np.s_[[]]])
def test_keys_of_nothing_read_nothing(key):
    box, found = picked(key)
    assert box.shape.count == 0
    assert found.shape == ARRAY[key].shape


@pytest.mark.parametrize(
    "key", [11, -12, np.s_[:, 17], np.s_[0, 0, 0, 0], np.s_[..., 3], np.s_[[0, 11]], np.s_[[True]]]
)
def test_keys_beyond_the_array_are_index_errors(key):
    with pytest.raises(IndexError):
        window_of(key, SHAPE)


@pytest.mark.parametrize("key", [None, np.s_[:, None], np.s_[..., 0, ...]])
def test_new_axes_and_two_ellipses_are_index_errors(key):
    with pytest.raises(IndexError, match="ellipsis"):
        window_of(key, SHAPE)
