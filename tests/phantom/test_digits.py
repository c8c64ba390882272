"""Digits can be read, differ, and are the same picture at every size."""

import numpy as np
import pytest

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.phantom.digits import digit_images


def test_each_number_is_one_picture_at_every_size() -> None:
    (small, digits), (large, same) = digit_images(6, 16, 3), digit_images(6, 48, 3)
    np.testing.assert_array_equal(digits, same)
    means = large.reshape(6, 16, 3, 16, 3).mean(axis=(2, 4))
    assert np.abs(means - small).mean() < 0.04
    np.testing.assert_array_equal(digit_images(2, 16, 3)[0], small[:2])
    assert small.min() == -1
    assert small.max() > 0.3


def test_digits_can_be_told_apart_by_their_nearest_neighbour() -> None:
    images, digits = digit_images(420, 20, 0)
    flat = images.reshape(420, -1)
    distance = ((flat[300:, None] - flat[None, :300]) ** 2).sum(-1)
    right = digits[:300][distance.argmin(1)] == digits[300:]
    assert right.mean() > 0.65
    assert len(np.unique(digits)) == 10
    assert np.ptp(flat.std(axis=1)) > 0.02


def test_sizes_out_of_range_are_told() -> None:
    with pytest.raises(ConfigError, match="8 to 1024"):
        digit_images(1, 4, 0)
