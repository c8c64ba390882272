"""A canvas is read like a slide."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.errors import RegionError

SHAPES = ((41, 613), (21, 307), (11, 154))


@pytest.fixture(scope="module")
def levels(canvas):
    return [np.asarray(canvas.level_array(level)) for level in range(canvas.level_count)]


def test_the_pyramid_halves_until_a_level_is_small(canvas, levels):
    assert canvas.level_shapes == SHAPES
    assert [level.shape for level in levels] == [(*shape, 3) for shape in SHAPES]
    assert all(level.dtype == np.uint8 for level in levels)
    assert levels[0].std() > 5


def test_further_levels_are_two_by_two_means(levels):
    for finer, coarser in itertools.pairwise(levels):
        for i, j in itertools.product(range(coarser.shape[0]), range(coarser.shape[1])):
            cell = finer[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].astype(float)
            np.testing.assert_array_equal(coarser[i, j], np.floor(cell.mean(axis=(0, 1)) + 0.5))


@settings(deadline=None, max_examples=200)
@given(
    level=st.integers(0, 2),
    x=st.integers(-900, 900),
    y=st.integers(-200, 200),
    w=st.integers(1, 700),
    h=st.integers(1, 90),
)
def test_a_region_is_a_crop_of_the_whole_and_white_outside(canvas, levels, level, x, y, w, h):
    pad = 1700
    whole = np.pad(levels[level], ((pad, pad), (pad, pad), (0, 0)), constant_values=255)
    column, row = (int(np.floor(v / 2**level + 0.5)) + pad for v in (x, y))
    region = canvas.read_region((x, y), level, (w, h))
    assert (region.shape, region.dtype) == ((h, w, 3), np.uint8)
    np.testing.assert_array_equal(region, whole[row : row + h, column : column + w])


def test_locations_are_in_level_zero_pixels_at_every_level(canvas):
    fine = canvas.read_region((64, 8), 0, (80, 16)).astype(float).reshape(4, 4, 20, 4, 3).mean(axis=(1, 3))
    coarse = canvas.read_region((64, 8), 2, (20, 4)).astype(float)
    assert np.abs(fine - coarse).max() <= 1.0  # two roundings
    assert np.abs(np.roll(fine, 1, axis=1) - coarse).max() > 3.0


def test_a_region_does_not_share_memory_with_the_canvas(canvas):
    region = canvas.read_region((0, 0), 0, (5, 5))
    region[:] = 0
    assert canvas.read_region((0, 0), 0, (5, 5)).any()


def test_outside_nothing_is_rendered(make_canvas):
    canvas = make_canvas()
    assert (canvas.read_region((-50, 0), 0, (50, 10)) == 255).all()
    assert not canvas.rendered


@pytest.mark.parametrize(
    ("location", "level", "size", "message"),
    [
        ((0, 0), 3, (1, 1), "levels 0 to 2"),
        ((0, 0), -1, (1, 1), "levels 0 to 2"),
        ((0, 0), 0, (0, 5), "positive"),
        ((0, 0), 0, (5, -1), "positive"),
        ((0, 0), 0, (1 << 20, 1 << 20), "in parts"),
        ((0.5, 0), 0, (5, 5), "location"),
        ((0, 0, 0), 0, (5, 5), "location"),
        ((0, 0), 0, (5, "a"), "size"),
    ],
)
def test_regions_that_make_no_sense_are_refused_before_rendering(make_canvas, location, level, size, message):
    canvas = make_canvas()
    with pytest.raises(RegionError, match=message):
        canvas.read_region(location, level, size)
    assert not canvas.rendered


@pytest.mark.parametrize("max_side", [5000, 613, 612, 400, 307, 200, 154, 60, 7, 1])
def test_a_thumbnail_has_the_longer_side_asked_for(canvas, levels, max_side):
    image = canvas.thumbnail(max_side)
    longer = min(max_side, 613)
    assert image.dtype == np.uint8
    assert image.shape[1:] == (longer, 3)
    assert abs(image.shape[0] - 41 * longer / 613) < 1
    source = [level for level in levels if level.shape[1] >= longer][-1]
    # Bands differ by 30 grey values; borders, a large part of so thin an image, weigh a little more or less.
    np.testing.assert_allclose(image.mean(axis=(0, 1)), source.mean(axis=(0, 1)), atol=6)


def test_a_thumbnail_of_no_size_is_refused(canvas):
    with pytest.raises(RegionError, match="thumbnail"):
        canvas.thumbnail(0)


@pytest.mark.parametrize("level", [-1, 3])
def test_lazy_forms_of_a_level_that_is_not_there_are_refused(canvas, level):
    for read in (canvas.to_dask, canvas.to_xarray, canvas.level_array):
        with pytest.raises(RegionError, match="levels 0 to 2"):
            read(level)


def test_a_canvas_of_any_size_has_at_most_ten_levels(make_canvas):
    """The number that can be written; nothing of it is rendered."""
    assert make_canvas(size=(10_000_000, 10_000_000)).level_count == 10
