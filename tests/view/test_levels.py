"""Steps on the page are small, whatever pyramid a file has, and no tile costs more than a bounded read."""

import itertools

import numpy as np
import pytest

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.view.image import block_means
from infbrush_wsi.view.levels import MOST_READ, WIDEST_STEP, shown_levels

TILE = 512
PYRAMIDS = {
    "one level": ([Shape(5001, 12003)], [1.0]),
    "steps of four": ([Shape(40_000, 50_001), Shape(10_000, 12_500), Shape(2500, 3125)], [1.0, 4.0, 16.0005]),
    "steps of two": ([Shape(1000, 2000), Shape(500, 1000), Shape(250, 500)], [1.0, 2.0, 4.0]),
    "tiny": ([Shape(3, 5)], [1.0]),
}


@pytest.mark.parametrize("name", PYRAMIDS)
def test_steps_are_small_down_to_a_single_tile(name):
    shapes, downsamples = PYRAMIDS[name]
    levels = shown_levels(shapes, downsamples, TILE)
    factors = [level.downsample for level in levels]
    assert factors[0] == 1
    assert all(1.9 < b / a <= WIDEST_STEP for a, b in itertools.pairwise(factors))
    assert max(levels[-1].shape.as_tuple()) <= TILE
    assert [level.downsample for level in levels if level.block == 1] == downsamples


def test_levels_of_the_image_that_are_fine_enough_are_shown_as_they_are():
    shapes, downsamples = PYRAMIDS["steps of two"]
    assert [level.block for level in shown_levels(shapes, downsamples, TILE)] == [1, 1, 1]


def test_a_huge_image_without_a_pyramid_stops_where_a_tile_would_cost_too_much():
    levels = shown_levels([Shape(400_000, 400_000)], [1.0], TILE)
    assert (TILE * levels[-1].block) ** 2 <= MOST_READ < (TILE * levels[-1].block * 2) ** 2
    assert max(levels[-1].shape.as_tuple()) > TILE


def test_tiles_cover_a_level_and_what_they_read_covers_the_image_once():
    whole = Shape(1700, 2311)
    for level in shown_levels([whole], [1.0], 256):
        read = np.zeros(whole.as_tuple(), int)
        shown = np.zeros(level.shape.as_tuple(), int)
        for row in range(-(-level.shape.h // 256)):
            for column in range(-(-level.shape.w // 256)):
                box = level.box(column, row, 256)
                shown[box.slices] += 1
                read[level.footprint(box, whole).slices] += 1
        assert (shown == 1).all()
        assert (read == 1).all()
    assert level.box(1, 0, 256).empty


def test_block_means_are_means_also_of_the_smaller_blocks_at_the_edge():
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    found = block_means(pixels, 8)
    assert found.shape == (5, 7, 3)
    for i, j in [(0, 0), (2, 3), (4, 6), (4, 0)]:
        expected = pixels[8 * i : 8 * i + 8, 8 * j : 8 * j + 8].mean((0, 1))
        np.testing.assert_allclose(found[i, j], expected, atol=0.51)
    np.testing.assert_array_equal(block_means(pixels, 1), pixels)


def test_a_footprint_ends_with_the_image():
    (level,) = (one for one in shown_levels([Shape(1001, 1003)], [1.0], 256) if one.block == 4)
    assert level.footprint(level.box(0, 0, 256), Shape(1001, 1003)) == Box(0, 0, 1003, 1001)
