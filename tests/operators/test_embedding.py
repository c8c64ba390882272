"""Coordinate features: what 'cell' and 'extent' mean."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from infbrush_wsi.domain import Shape
from infbrush_wsi.operators.embedding import CELL_OCTAVES, EXTENT_OCTAVES, PositionFeatures


def test_widths() -> None:
    assert PositionFeatures("none").width == 0
    assert PositionFeatures("cell").width == 4 * CELL_OCTAVES
    assert PositionFeatures("extent").width == 4 * EXTENT_OCTAVES


@pytest.mark.parametrize("kind", ["cell", "extent"])
def test_shape_and_range(supports: Any, kind: Any) -> None:
    features = PositionFeatures(kind)
    out = features(supports.scattered(Shape(32, 48), 50, batch=2))
    assert out.shape == (2, 50, features.width)
    sin, cos = out.chunk(2, -1)
    torch.testing.assert_close(sin**2 + cos**2, torch.ones_like(sin))


def test_cell_features_repeat_from_cell_to_cell_on_a_canvas_of_any_size(supports: Any) -> None:
    small, large = (PositionFeatures("cell")(supports.whole(Shape(n, n), pitch=4.0)).reshape(n, n, -1) for n in (8, 64))
    torch.testing.assert_close(small[:4, :4], small[4:, 4:], rtol=0, atol=1e-5)
    torch.testing.assert_close(large[56:, 56:], small, rtol=0, atol=1e-4)
    assert (small[0, 0] - small[0, 1]).abs().max() > 0.1


def test_extent_features_stretch_with_the_canvas_and_tell_all_points_apart(supports: Any) -> None:
    features = PositionFeatures("extent")
    small, large = (features(supports.whole(Shape(n, n))).reshape(n, n, -1) for n in (16, 32))
    # The lowest octave runs half a period over the extent.
    torch.testing.assert_close(small[0, :, EXTENT_OCTAVES], torch.sin(torch.pi * (torch.arange(16) + 0.5) / 16))
    torch.testing.assert_close((large[::2, ::2] + large[1::2, 1::2])[..., 0] / 2, small[..., 0], rtol=0, atol=3e-3)
    distance = torch.cdist(small.reshape(256, -1), small.reshape(256, -1)) + 9 * torch.eye(256)
    assert distance.min() > 0.1


def test_scattered_and_tile_features_agree(supports: Any) -> None:
    shape = Shape(12, 18)
    for kind in ("cell", "extent"):
        features = PositionFeatures(kind)
        torch.testing.assert_close(features(supports.everywhere(shape)), features(supports.whole(shape)))


def test_cell_features_between_training_pixels_are_those_of_the_pixels_around(supports: Any) -> None:
    # With two pixels a cell the cosine of the first octave is zero at all centres: training says nothing of it.
    features = PositionFeatures("cell")
    trained = features(supports.whole(Shape(8, 8), pitch=2.0)).reshape(8, 8, -1)
    finer = features(supports.whole(Shape(16, 16), ratio=2.0, pitch=2.0)).reshape(16, 16, -1)
    along = 0.75 * trained[:, :-1] + 0.25 * trained[:, 1:]  # a quarter of a pixel after a centre
    expected = 0.75 * along[:-1] + 0.25 * along[1:]
    torch.testing.assert_close(finer[1:14:2, 1:14:2], expected, rtol=0, atol=1e-5)
    assert finer[..., 2 * CELL_OCTAVES].abs().max() < 1e-5
