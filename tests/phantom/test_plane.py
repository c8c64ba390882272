"""Plane-fixed randomness: one function, however it is evaluated."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.domain import XY, Extent, Lattice, Shape
from infbrush_wsi.phantom.plane import PixelGrid, SmoothNoise, generator, scatter


def grid(h: int, w: int, spacing: float) -> PixelGrid:
    return PixelGrid.of(Lattice.regular(Shape(h, w), spacing))


@pytest.mark.parametrize("spacing", [0.25, 1.0, 3.7])
def test_noise_on_a_grid_is_the_noise_at_its_points(spacing):
    noise, pixels = SmoothNoise(generator(1), 5.0, table=32), grid(40, 57, spacing)
    y, x = np.meshgrid(pixels.y, pixels.x, indexing="ij")
    np.testing.assert_allclose(noise.grid(pixels).ravel(), noise.at(y.ravel(), x.ravel()), atol=2e-5)


def test_noise_has_mean_0_and_variance_1():
    values = SmoothNoise(generator(2), 1.0).grid(grid(1024, 1024, 0.25))
    assert abs(values.mean()) < 0.02
    assert values.var() == pytest.approx(1.0, abs=0.03)


def test_scattered_points_do_not_depend_on_the_size_of_the_picture():
    small = scatter(generator(3), Extent(XY(0, 0), 100, 80), 9.0, 0.8)
    large = scatter(generator(3), Extent(XY(0, 0), 300, 200), 9.0, 0.8)
    corner = (large.y < 70) & (large.x < 90)
    same = (small.y < 70) & (small.x < 90)
    np.testing.assert_array_equal(np.sort(large.y[corner]), np.sort(small.y[same]))
    inside = (large.y > 0) & (large.y < 200) & (large.x > 0) & (large.x < 300)
    assert inside.sum() == pytest.approx(300 * 200 / 81, rel=0.05)


def test_enlarging_keeps_a_linear_ramp():
    coarse, fine = grid(20, 30, 2.0), grid(80, 120, 0.5)
    ramp = (coarse.y[:, None] + 2 * coarse.x[None, :]).astype(np.float32)
    inner = fine.enlarge(ramp, coarse)[4:-4, 4:-4]
    np.testing.assert_allclose(inner, (fine.y[:, None] + 2 * fine.x[None, :])[4:-4, 4:-4], rtol=1e-5)
