"""Every file of a pyramid has one place in the order of writing, after the files that it is made of."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.writers.layout import StoreLayout
from infbrush_wsi.writers.pyramid import level_shapes
from infbrush_wsi.writers.units import Unit, UnitGrid, batches


def grids_of(h, w, given_levels, layout):
    shapes = level_shapes(Shape(h, w), given_levels, layout.chunk)
    return [UnitGrid(number, shape, layout.unit_shape(shape)) for number, shape in enumerate(shapes)]


layouts = st.builds(StoreLayout, chunk=st.integers(3, 40), shard=st.none() | st.integers(1, 5))
sides = st.sampled_from([1, 2, 4, 32])


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 6), layouts, sides)
def test_batches_hold_every_unit_once_and_after_those_below_it(h, w, given_levels, layout, side):
    grids = grids_of(h, w, given_levels, layout)
    seen = set()
    for regions in batches(grids, side):
        assert regions
        for region in regions:
            for unit in region.units():
                assert unit not in seen
                seen.add(unit)
                if unit.level:
                    box = grids[unit.level].box_of(unit)
                    assert set(grids[unit.level - 1].below(box)) <= seen
    assert seen == {unit for grid in grids for unit in grid.units()}
    assert len(seen) == sum(grid.count for grid in grids)


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), layouts)
def test_a_unit_rests_on_just_the_units_that_hold_its_pixels(h, w, layout):
    grids = grids_of(h, w, 3, layout)
    for finer, coarser in itertools.pairwise(grids):
        for unit in coarser.units():
            box = coarser.box_of(unit)
            holders = {
                Unit(finer.level, y // finer.side.h, x // finer.side.w)
                for y in range(2 * box.y0, min(2 * box.y1, finer.shape.h))
                for x in range(2 * box.x0, min(2 * box.x1, finer.shape.w))
            }
            assert set(finer.below(box)) == holders


def test_units_at_the_edge_are_cut():
    grid = UnitGrid(0, Shape(10, 7), Shape(4, 4))
    assert (grid.rows, grid.columns, grid.count) == (3, 2, 6)
    assert grid.box_of(Unit(0, 2, 1)) == Box(4, 8, 3, 2)


@pytest.mark.parametrize(
    ("level", "shard", "unit"),
    [
        (Shape(1000, 1000), None, Shape(64, 64)),
        (Shape(1000, 1000), 4, Shape(256, 256)),
        (Shape(130, 1000), 4, Shape(192, 256)),
        (Shape(10, 1000), 4, Shape(10, 256)),
    ],
)
def test_a_shard_has_no_more_chunks_than_its_level(level, shard, unit):
    assert StoreLayout(chunk=64, shard=shard).unit_shape(level) == unit


def test_shards_are_refused_where_there_are_none():
    with pytest.raises(ConfigError, match=r"0\.5"):
        StoreLayout("0.4", shard=4)
    with pytest.raises(ConfigError, match="at least one chunk"):
        StoreLayout("0.5", shard=0)
