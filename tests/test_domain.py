"""Ground types: algebra of windows, tilings, lattices in physical units."""

import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from infbrush_wsi.domain import XY, Box, Extent, Lattice, Shape, Size, centres, tiles
from infbrush_wsi.errors import RegionError

near = st.integers(-40, 40)
side = st.integers(0, 40)
boxes = st.builds(Box, near, near, side, side)
shapes = st.builds(Shape, st.integers(1, 60), st.integers(1, 60))
spacings = st.floats(0.05, 20.0)
lattices = st.builds(
    lambda shape, sx, sy, x0, y0: Lattice(shape, Affine(sx, 0.0, x0, 0.0, sy, y0)),
    shapes,
    spacings,
    spacings,
    st.floats(-1e4, 1e4),
    st.floats(-1e4, 1e4),
)


def pixels(box: Box) -> set[tuple[int, int]]:
    return {(x, y) for x in range(box.x0, box.x1) for y in range(box.y0, box.y1)}


@pytest.mark.parametrize("value", [XY(1, 2), Size(1, 2), Shape(1, 2), Box(1, 2, 3, 4)])
def test_pairs_are_not_tuples(value):
    assert not isinstance(value, tuple)
    assert value != (1, 2)
    with pytest.raises(TypeError):
        iter(value)
    assert hash(value) == hash(type(value)(**{k: getattr(value, k) for k in value.__dataclass_fields__}))


def test_size_and_shape_are_never_equal_and_convert():
    assert Size(3, 7) != Shape(3, 7)
    assert Size(3, 7).shape == Shape(7, 3)
    assert Shape(7, 3).size == Size(3, 7)
    assert Shape(7, 3).as_tuple() == np.empty((7, 3)).shape
    assert Shape(7, 3).count == 21


@given(boxes, boxes)
def test_intersection_is_that_of_the_pixels(a, b):
    common = a.intersect(b)
    assert pixels(common) == pixels(a) & pixels(b)
    assert common.empty == (not pixels(common))
    assert pixels(common) == pixels(b.intersect(a))


@given(boxes, shapes)
def test_clip_gives_the_pixels_inside(box, shape):
    inside = {(x, y) for x, y in pixels(box) if 0 <= x < shape.w and 0 <= y < shape.h}
    assert pixels(box.clip(shape)) == inside


@given(boxes, st.integers(0, 9))
def test_pad_is_undone_by_the_opposite_pad(box, margin):
    grown = box.pad(margin)
    assert (grown.w, grown.h) == (box.w + 2 * margin, box.h + 2 * margin)
    assert grown.pad(-margin) == box
    assert pixels(box) <= pixels(grown)


@given(boxes, st.sampled_from([1, 3, 4.5, 7, 64]))
def test_cells_are_those_that_hold_a_pixel_or_a_part_of_one(box, side):
    if box.empty:
        return
    cells = box.cells(side)
    touched = [
        (x, y)
        for x in range(-50, 90)
        for y in range(-50, 90)
        if x * side < box.x1 and (x + 1) * side > box.x0 and y * side < box.y1 and (y + 1) * side > box.y0
    ]
    assert pixels(cells) == set(touched)


@given(boxes, boxes)
def test_relative_boxes_index_the_window_as_the_whole(a, b):
    whole = np.arange(200 * 200).reshape(200, 200)
    a, b = (Box(box.x0 + 60, box.y0 + 60, box.w, box.h) for box in (a, b))
    inner = a.intersect(b)
    if not inner.empty:
        window = whole[b.slices]
        np.testing.assert_array_equal(window[inner.relative_to(b).slices], whole[inner.slices])


def test_slices_are_rows_then_columns():
    assert np.arange(12).reshape(3, 4)[Box(x0=1, y0=0, w=2, h=1).slices].tolist() == [[1, 2]]


@pytest.mark.parametrize("box", [Box(-1, 0, 5, 5), Box(0, -1, 5, 5)])
def test_a_box_that_starts_outside_gives_no_slices(box):
    with pytest.raises(RegionError, match="clip"):
        _ = box.slices


@given(shapes, st.integers(1, 70))
def test_tiles_partition_the_lattice_in_row_major_order(shape, side):
    seen = np.zeros(shape.as_tuple(), int)
    cut = list(tiles(shape, side))
    for tile in cut:
        assert not tile.empty
        assert tile.w <= side
        assert tile.h <= side
        seen[tile.slices] += 1
    assert (seen == 1).all()
    assert [(tile.y0, tile.x0) for tile in cut] == sorted((tile.y0, tile.x0) for tile in cut)
    assert all(tile.x0 % side == 0 and tile.y0 % side == 0 for tile in cut)


@given(lattices, near, near)
def test_a_window_keeps_pixels_where_they_are(lattice, x, y):
    window = lattice.window(Box(x, y, 5, 4))
    assert window.shape == Shape(4, 5)
    np.testing.assert_allclose(window.transform @ (2.5, 1.5), lattice.transform @ (x + 2.5, y + 1.5))
    assert (window.spacing.x, window.spacing.y) == pytest.approx((lattice.spacing.x, lattice.spacing.y))


@given(lattices, st.integers(2, 5))
def test_a_downsampled_lattice_covers_the_extent_with_less_than_one_cell_over(lattice, factor):
    low = lattice.downsampled(factor)
    assert low.spacing.x == pytest.approx(factor * lattice.spacing.x)
    assert low.extent.origin == lattice.extent.origin
    over = low.extent.w - lattice.extent.w, low.extent.h - lattice.extent.h
    tolerance = 1e-9 * (lattice.extent.w + lattice.extent.h)
    assert -tolerance <= over[0] < low.spacing.x
    assert -tolerance <= over[1] < low.spacing.y


@given(lattices)
def test_downsampling_twice_by_two_is_downsampling_by_four(lattice):
    assert lattice.downsampled(2).downsampled(2).shape == lattice.downsampled(4).shape


@given(lattices, spacings)
def test_a_resampled_lattice_keeps_the_extent_to_half_a_cell(lattice, spacing):
    other = lattice.resampled(spacing)
    assert other.spacing.x == pytest.approx(spacing)
    assert other.spacing.y == pytest.approx(spacing)
    assert other.extent.origin == lattice.extent.origin
    for mine, theirs in ((other.extent.w, lattice.extent.w), (other.extent.h, lattice.extent.h)):
        assert abs(mine - theirs) <= max(0.5 * spacing, spacing - theirs) * (1 + 1e-6)


@pytest.mark.parametrize("spacing", [0.0, -1.0, math.nan, math.inf])
def test_a_senseless_spacing_is_refused(spacing):
    with pytest.raises(RegionError, match="positive"):
        Lattice.regular(Shape(4, 4), 0.5).resampled(spacing)


@pytest.mark.parametrize(
    ("unit", "spacing", "mpp"),
    [("micrometer", 0.25, 0.25), ("millimeter", 0.001, 1.0), ("meter", 0.6, 6e5), ("degree", 0.1, None)],
)
def test_mpp_is_in_micrometres_or_absent(unit, spacing, mpp):
    assert Lattice.regular(Shape(4, 4), spacing, unit).mpp == (None if mpp is None else pytest.approx(mpp))


def test_mpp_of_oblong_pixels_is_the_geometric_mean():
    assert Lattice(Shape(4, 4), Affine.scale(0.2, 0.8)).mpp == pytest.approx(0.4)


def test_spacing_and_extent_of_a_rotated_north_up_raster():
    lattice = Lattice(
        Shape(10, 20), Affine.translation(500.0, 900.0) @ Affine.rotation(30) @ Affine.scale(2, -3), "meter"
    )
    assert (lattice.spacing.x, lattice.spacing.y) == pytest.approx((2.0, 3.0))
    extent = lattice.extent
    assert (extent.origin.x, extent.origin.y) == pytest.approx((500.0, 900.0))
    assert (extent.w, extent.h, extent.unit) == (pytest.approx(40.0), pytest.approx(30.0), "meter")


def test_regular_starts_at_the_origin():
    assert Lattice.regular(Shape(6, 4), 0.5).extent == Extent(XY(0.0, 0.0), 2.0, 3.0)


def test_centres_are_half_way_between_edges():
    assert centres(3, 4).tolist() == [3.5, 4.5, 5.5, 6.5]
    assert centres(0, 0).shape == (0,)
