"""The support of a tile: coordinates, ownership and axis weights in training pixels."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.support import LatticeSupport
from infbrush_wsi.points.transfer import bilinear_matrix


def tile(ratio: float = 2.0) -> LatticeSupport:
    image = Shape(37, 50)
    owned = Box(10, 5, 14, 9)
    grid = GridGeometry.covering(image.h / ratio, image.w / ratio, 3.3)
    return LatticeSupport(owned.pad(6).clip(image), owned, image, ratio, grid)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 3.0])
def test_coordinates_are_pixel_centres_in_training_pixels(ratio: float) -> None:
    support = tile(ratio)
    assert support.box == Box(4, 0, 26, 20)
    coords = support.coords.reshape(20, 26, 2).numpy()
    np.testing.assert_allclose(coords[0, 0], [0.5 / ratio, 4.5 / ratio], rtol=1e-6)
    np.testing.assert_allclose(coords[19, 25], [19.5 / ratio, 29.5 / ratio], rtol=1e-6)
    assert support.extent == (37 / ratio, 50 / ratio)


def test_only_owned_pixels_have_area() -> None:
    area = tile().area.reshape(20, 26).numpy()
    assert area.sum() == 14 * 9
    assert (area[5:14, 6:20] == 1).all()


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_axis_weights_factorise_the_bilinear_weights(ratio: float) -> None:
    support = tile(ratio)
    y, x = support.axis_weights
    whole = np.zeros((20, 26, *support.grid.shape.as_tuple()))
    a, b = y.interpolate.shape[1], x.interpolate.shape[1]
    part = np.einsum("ha,wb->hwab", y.interpolate.numpy(), x.interpolate.numpy())
    whole[:, :, y.first : y.first + a, x.first : x.first + b] = part
    expected = bilinear_matrix(support.coords[0].double().numpy(), support.grid).toarray()
    np.testing.assert_allclose(whole.reshape(expected.shape), expected, atol=3e-6)
    # Spreading counts owned pixels only.
    np.testing.assert_array_equal(y.spread.numpy()[:, 5:14], y.interpolate.numpy().T[:, 5:14])
    assert y.spread.sum() == pytest.approx(9, rel=1e-6)
    assert x.spread.sum() == pytest.approx(14, rel=1e-6)
