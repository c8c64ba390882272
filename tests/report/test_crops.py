"""Which part is shown."""

from __future__ import annotations

import numpy as np

from infbrush_wsi.report.crops import densest, framed, reduced, side_of, to_rgb


def test_the_crop_is_the_most_stained_window():
    pixels = np.full((500, 700, 3), 240, np.uint8)
    pixels[380:, 520:] = 90
    y, x = densest(pixels, 128)
    assert (y, x) == (500 - 128, 700 - 128)
    side = side_of(pixels, "x", whole=100, crop=128)
    assert side.crop.shape == (128, 128, 3)
    assert side.crop.mean() < 120
    assert side.whole.shape == (71, 100, 3)


def test_small_images_are_shown_whole():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 300, 3), np.uint8)
    side = side_of(pixels, "x", whole=512, crop=128)
    np.testing.assert_array_equal(side.whole, pixels)
    assert side.crop.shape == (60, 128, 3)


def test_bands():
    four = np.random.default_rng(0).integers(0, 256, (4, 5, 4), np.uint8)
    np.testing.assert_array_equal(to_rgb(four), four[..., :3])
    np.testing.assert_array_equal(to_rgb(four[..., :1])[..., 2], four[..., 0])


def test_frames_keep_the_middle_and_the_scale():
    pixels = np.zeros((10, 40, 3), np.uint8)
    out = framed(pixels, (20, 30))
    assert out.shape == (20, 30, 3)
    assert (out[5:15] == 0).all()
    assert (out[:5] == 255).all()
    assert (out[15:] == 255).all()
    assert reduced(pixels, 400) is pixels
