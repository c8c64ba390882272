"""Points → grid → points: scattered pixels, a whole tile and a sum over tiles are one operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from infbrush_wsi.domain import Shape
from infbrush_wsi.operators.grid_transfer import NEAREST_REACH, grid_to_points, points_to_grid
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.transfer import bilinear_matrix, nearest_matrix, splat_matrix

GEOMETRIES = [
    (Shape(24, 32), 4.0, 1.0),
    (Shape(37, 51), 3.3, 1.0),
    (Shape(37, 51), 3.3, 2.0),
    (Shape(29, 22), 4.0, 0.5),
    (Shape(45, 38), 5.7, 2.0),
    (Shape(13, 9), 20.0, 1.0),
    (Shape(31, 33), 1.0, 1.0),
]
geometries = pytest.mark.parametrize(("shape", "pitch", "ratio"), GEOMETRIES)
transfers = pytest.mark.parametrize("transfer", ["splat", "knn"])


def values(shape: Shape, seed: int = 0) -> Tensor:
    return torch.randn(1, shape.count, 3, generator=torch.Generator().manual_seed(seed))


def by_matrix(shape: Shape, pitch: float, ratio: float, transfer: str) -> tuple[Any, Any]:
    """Points → grid matrix of all pixels from the code for scattered points, and the grid."""
    index = np.stack(np.divmod(np.arange(shape.count), shape.w), 1)
    coords = (index + 0.5) / ratio
    grid = GridGeometry.covering(shape.h / ratio, shape.w / ratio, pitch)
    if transfer == "splat":
        return splat_matrix(coords, np.ones(len(coords)), grid), bilinear_matrix(coords, grid)
    return nearest_matrix(coords, grid), bilinear_matrix(coords, grid)


@geometries
@transfers
def test_a_tile_equals_its_pixels_scattered(
    supports: Any, shape: Shape, pitch: float, ratio: float, transfer: Any
) -> None:
    support, h = supports.whole(shape, pitch=pitch, ratio=ratio), values(shape)
    to_grid, to_points = by_matrix(shape, pitch, ratio, transfer)
    found = points_to_grid(h, support, transfer).mean()
    expected = (to_grid @ h[0].numpy()).T.reshape(1, 3, *support.grid.shape.as_tuple())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)
    back = grid_to_points(found, support)
    np.testing.assert_allclose(back[0].numpy(), to_points @ expected.reshape(3, -1).T, rtol=1e-4, atol=1e-5)


@transfers
def test_scattered_support_uses_the_same_weights(supports: Any, transfer: Any) -> None:
    shape = Shape(26, 35)
    scattered = supports.everywhere(shape, pitch=3.3, transfer=transfer, batch=2)
    tile, h = supports.whole(shape, pitch=3.3, batch=2), torch.randn(2, shape.count, 4)
    a, b = (points_to_grid(h, s, transfer).mean() for s in (scattered, tile))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(grid_to_points(a, scattered), grid_to_points(b, tile), rtol=1e-4, atol=1e-5)


@geometries
@transfers
@pytest.mark.parametrize("side", [7, 16])
def test_tiles_add_up_to_the_whole(
    supports: Any, shape: Shape, pitch: float, ratio: float, transfer: Any, side: int
) -> None:
    h = values(shape)
    whole = points_to_grid(h, supports.whole(shape, pitch=pitch, ratio=ratio), transfer).mean()
    image, total = h.reshape(*shape.as_tuple(), 3), None
    tiles = supports.cut(shape, side, NEAREST_REACH, pitch=pitch, ratio=ratio)
    for support in tiles:
        part = image[support.box.slices].reshape(1, -1, 3)
        total = points_to_grid(part, support, transfer).added_to(total)
    torch.testing.assert_close(total.mean(), whole, rtol=1e-4, atol=1e-5)
    if transfer == "knn":
        assert (total.denominator == 1).all()  # every node has one owner
    points = grid_to_points(whole, supports.whole(shape, pitch=pitch, ratio=ratio)).reshape(*shape.as_tuple(), 3)
    for support in tiles:
        part = grid_to_points(whole, support).reshape(support.box.h, support.box.w, 3)
        torch.testing.assert_close(part, points[support.box.slices], rtol=1e-4, atol=1e-5)


def test_halo_values_do_not_count_in_a_splat(supports: Any) -> None:
    shape = Shape(32, 32)
    support = supports.cut(shape, 16, 5)[0]
    h = torch.randn(1, support.box.h * support.box.w, 2)
    halo = support.area[0] == 0
    changed = torch.where(halo[None, :, None], h + 100, h)
    a, b = (points_to_grid(part, support, "splat") for part in (h, changed))
    assert torch.equal(a.numerator, b.numerator)
    assert a.denominator.sum() == 16 * 16


def test_nearest_pixels_need_their_halo(supports: Any) -> None:
    """A node on the corner of four tiles reads pixels of its neighbours: what `NEAREST_REACH` is for."""
    shape = Shape(32, 32)
    h, reads = values(shape).reshape(32, 32, 3), []
    for support in supports.cut(shape, 16, NEAREST_REACH, pitch=32.0):
        part = h[support.box.slices].reshape(1, -1, 3).requires_grad_()
        (gradient,) = torch.autograd.grad(points_to_grid(part, support, "knn").numerator.sum(), part)
        reads.append((gradient.abs().sum(-1)[0] > 0) & (support.area[0] == 0))
    assert sum(int(r.sum()) for r in reads) == 3


@geometries
@transfers
def test_constants_are_kept(supports: Any, shape: Shape, pitch: float, ratio: float, transfer: Any) -> None:
    support = supports.whole(shape, pitch=pitch, ratio=ratio)
    h = torch.full((1, shape.count, 1), -3.5)
    back = grid_to_points(points_to_grid(h, support, transfer).mean(), support)
    torch.testing.assert_close(back, h, rtol=1e-5, atol=0)


def test_sums_keep_full_precision_under_mixed_precision(supports: Any) -> None:
    shape = Shape(40, 40)
    support, h = supports.whole(shape, pitch=20.0), values(shape)
    expected = points_to_grid(h, support, "splat").mean()
    with torch.autocast("cpu", torch.bfloat16):
        found = points_to_grid(h, support, "splat").mean()
    torch.testing.assert_close(found, expected)


@transfers
def test_gradients_by_finite_differences(supports: Any, transfer: Any) -> None:
    support = supports.scattered(Shape(9, 8), 12, pitch=3.0, transfer=transfer)
    h = torch.randn(1, 12, 2, dtype=torch.float64, requires_grad=True)

    def there_and_back(h: Tensor) -> Tensor:
        return grid_to_points(points_to_grid(h, support, transfer).numerator, support)

    assert torch.autograd.gradcheck(there_and_back, (h,))


def test_a_tile_without_nodes_adds_nothing(supports: Any) -> None:
    shape = Shape(40, 40)
    tiles = supports.cut(shape, 4, 2, pitch=40.0)
    partials = [points_to_grid(torch.randn(1, t.box.h * t.box.w, 2), t, "knn") for t in tiles]
    assert sum(p.numerator.numel() > 0 for p in partials) == 1
    total = None
    for partial in partials:
        total = partial.added_to(total)
    assert (total.denominator == 1).all()
