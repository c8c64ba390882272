"""The aerial phantom: deterministic, sized in metres, with an infrared band that makes sense."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.phantom import aerial_image
from infbrush_wsi.phantom.aerial import _ingredient
from infbrush_wsi.phantom.land import survey
from infbrush_wsi.phantom.plane import PixelGrid

SHAPE = Shape(384, 384)


def test_same_arguments_give_the_same_bytes_and_another_seed_others():
    first = aerial_image(Shape(90, 120), 0.6, 3)
    assert first.shape == (90, 120, 4)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, aerial_image(Shape(90, 120), 0.6, 3))
    assert (first != aerial_image(Shape(90, 120), 0.6, 4)).mean() > 0.5
    np.testing.assert_array_equal(first[..., :3], aerial_image(Shape(90, 120), 0.6, 3, bands=3))


def test_another_pixel_size_shows_the_same_country():
    fine = aerial_image(Shape(480, 480), 0.5, 8).astype(np.float64)
    for factor in (2, 4):
        side = 480 // factor
        coarse = aerial_image(Shape(side, side), 0.5 * factor, 8)
        averaged = fine.reshape(side, factor, side, factor, 4).mean(axis=(1, 3))
        for band in range(4):
            assert np.corrcoef(coarse[..., band].ravel(), averaged[..., band].ravel())[0, 1] > 0.9


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_infrared_is_near_zero_over_water_and_high_over_vegetation(seed):
    picture = aerial_image(SHAPE, 1.0, seed).astype(np.float64)
    land = survey(_ingredient(seed, "land"), PixelGrid.of(Lattice.regular(SHAPE, 1.0, "meter")))
    open_water = (land.bank < -4) & (land.road > 8)
    assert open_water.sum() > 500
    # The banks are wooded, and crowns and their shadows reach over the water.
    assert np.median(picture[open_water, 3]) < 12
    red, infrared = picture[..., 0], picture[..., 3]
    index = (infrared - red) / (infrared + red + 1)
    assert np.median(index[open_water]) < -0.3
    assert (index > 0.4).mean() > 0.15
    paved = (land.road < 2) & (land.bank > 20)
    assert np.median(index[paved]) < 0.1


def test_bare_and_green_fields_both_occur():
    greenness = [aerial_image(SHAPE, 2.0, seed).astype(int) for seed in range(3)]
    share = np.mean([(picture[..., 1] > picture[..., 0]).mean() for picture in greenness])
    assert 0.3 < share < 0.95


@pytest.mark.parametrize(
    ("shape", "resolution", "seed", "bands", "error", "message"),
    [
        (Shape(8, 8), 0.6, 0, 5, ConfigError, "3 or 4 bands"),
        (Shape(8, 8), 0.6, -2, 4, ConfigError, "seed"),
        (Shape(8, 0), 0.6, 0, 4, RegionError, "at least one pixel"),
        (Shape(8, 8), -0.6, 0, 4, RegionError, "positive"),
        (Shape(5000, 5000), 10.0, 0, 4, RegionError, "memory"),
    ],
)
def test_bad_requests_are_refused_with_a_reason(shape, resolution, seed, bands, error, message):
    with pytest.raises(error, match=message):
        aerial_image(shape, resolution, seed, bands)
