"""Averages over cells, and the smooth image that has them."""

import numpy as np
import pytest

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import RegionError
from infbrush_wsi.points.cell_means import CellMeans

MEANS = CellMeans(Shape(5, 7), 4)
RNG = np.random.default_rng(0)


def test_averages_are_those_of_a_loop():
    image = RNG.random((20, 28, 2))
    loop = [[image[4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean(axis=(0, 1)) for j in range(7)] for i in range(5)]
    np.testing.assert_allclose(MEANS.average(image), loop, atol=1e-15)


@pytest.mark.parametrize("means", [MEANS, CellMeans(Shape(1, 1), 3), CellMeans(Shape(2, 9), 2)], ids=str)
def test_the_smooth_image_has_the_averages(means):
    values = RNG.normal(size=(*means.cells.as_tuple(), 3))
    np.testing.assert_allclose(means.average(means.smooth(values)), values, atol=1e-12)


def test_a_constant_stays_constant_and_edges_between_cells_do_not_show():
    np.testing.assert_allclose(MEANS.smooth(np.ones((5, 7, 1))), 1.0, atol=1e-12)
    ramp = np.broadcast_to(np.arange(7.0)[None, :, None], (5, 7, 1))
    steps = np.diff(MEANS.smooth(ramp)[:, 8:20, 0], axis=1)
    assert np.abs(steps - 0.25).max() < 0.02


def test_repeating_is_the_transpose():
    image, values = RNG.random((20, 28, 1)), RNG.random((5, 7, 1))
    assert (MEANS.repeat(values) * image).sum() == pytest.approx(16 * (values * MEANS.average(image)).sum())


def test_no_cells_are_refused():
    with pytest.raises(RegionError):
        CellMeans(Shape(0, 3), 4)
