"""The eight symmetries: points and arrays are moved alike, and they form the group of the square."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.training.symmetry import in_window_frame, to_source_frame

SIDE = 6
INDEX = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"), -1).reshape(-1, 2)
IMAGE = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)


@pytest.mark.parametrize("symmetry", range(8))
def test_points_and_arrays_agree(symmetry: int) -> None:
    at = to_source_frame(INDEX, SIDE, symmetry)
    np.testing.assert_array_equal(in_window_frame(IMAGE, symmetry), IMAGE[at[:, 0], at[:, 1]].reshape(SIDE, SIDE))
    assert at.dtype == np.int64


@pytest.mark.parametrize("symmetry", range(8))
def test_coarse_arrays_follow(symmetry: int) -> None:
    """A mask of 3 x 3 cells over the window moves with the pixels under it."""
    coarse = np.arange(9).reshape(3, 3)
    fine = np.kron(coarse, np.ones((2, 2), int))
    np.testing.assert_array_equal(
        np.kron(in_window_frame(coarse, symmetry), np.ones((2, 2), int)), in_window_frame(fine, symmetry)
    )


def test_they_are_eight_and_all_symmetries_of_the_square() -> None:
    found = {in_window_frame(IMAGE, s).tobytes() for s in range(8)}
    expected = {np.rot90(image, k).copy().tobytes() for image in (IMAGE, IMAGE.T) for k in range(4)}
    assert found == expected
    assert len(found) == 8
    np.testing.assert_array_equal(in_window_frame(IMAGE, 0), IMAGE)


def test_the_input_is_left_alone() -> None:
    before = INDEX.copy()
    to_source_frame(INDEX, SIDE, 7)
    np.testing.assert_array_equal(INDEX, before)
