"""Tiles of an image, and how much of each is tissue, against counting pixels."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.conditioning.encoders.tiling import MAX_CELLS, Tiling
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import ConditionError, ConfigError

RNG = np.random.default_rng(5)


def test_cells_cover_the_image_and_tiles_lie_over_their_middles() -> None:
    tiling = Tiling(Shape(100, 161), 32, 32)
    assert tiling.grid == Shape(4, 6)
    assert tiling.box(1, 2) == Box(64, 32, 32, 32)
    assert Tiling(Shape(100, 161), 48, 16).box(0, 1) == Box(0, -16, 48, 48)
    assert Tiling(Shape(100, 161), 16, 48).box(1, 0) == Box(16, 64, 16, 16)
    covered = np.zeros(Tiling(Shape(1000, 1700), 8, 32).grid.as_tuple(), int)
    for block in Tiling(Shape(1000, 1700), 8, 32).blocks():
        covered[block.slices] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize(("tile", "stride"), [(16, 16), (24, 16), (8, 16), (16, 8)])
def test_shares_are_those_of_the_pixels(tile: int, stride: int) -> None:
    shape = Shape(70, 100)
    mask = RNG.random((70, 100)) < 0.4
    tiling = Tiling(shape, tile, stride)
    found = tiling.shares(mask)
    for row, column in np.ndindex(*tiling.grid.as_tuple()):
        box = tiling.box(row, column).clip(shape)
        if not box.empty:
            assert found[row, column] == np.float32(mask[box.slices].mean())


def test_a_mask_coarser_than_the_tiles_gives_the_pixel_under_each() -> None:
    mask = RNG.random((5, 7)) < 0.5
    found = Tiling(Shape(500, 700), 10, 10).shares(mask)
    np.testing.assert_array_equal(found, np.kron(mask, np.ones((10, 10))))


def test_what_cannot_be_tiled() -> None:
    with pytest.raises(ConfigError, match="at least 1 pixel, not 0 and 4"):
        Tiling(Shape(9, 9), 0, 4)
    with pytest.raises(ConditionError, match="larger stride"):
        Tiling(Shape(MAX_CELLS, 2), 1, 1)
