"""Chunked evaluation is whole evaluation: any tiling, any ratio, and a receptive field as wide as promised."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.domain import Shape, tiles
from infbrush_wsi.models.infbrush import InfBrushDenoiser, preset
from infbrush_wsi.operators.barrier import Barrier, run_with

T = torch.tensor([600])


def in_tiles(
    make: Any, net: Any, x: Tensor, shape: Shape, side: int, condition: ConditionBatch, ratio: float, shorter: int = 0
) -> Tensor:
    """One barrier after the other over all tiles, each with the halo that `barrier_reach` names."""
    image, known, out = x.reshape(*shape.as_tuple(), -1), [], torch.empty_like(x).reshape(*shape.as_tuple(), -1)
    for reach in net.barrier_reach(ratio):
        total, last = None, None
        for box in tiles(shape, side):
            support = make.lattice(net, shape, ratio, owned=box, halo=max(0, reach - shorter))
            part = image[support.box.slices].reshape(1, -1, image.shape[-1])
            result = run_with(net.program(part, support, T, condition), known)
            if isinstance(result, Barrier):
                total, last = result.partial.added_to(total), result
            else:
                inner = box.relative_to(support.box)
                out[box.slices] = result.reshape(support.box.h, support.box.w, -1)[inner.slices]
        if last is not None:
            known.append(last.finish(total))
    return out.reshape(x.shape)


CASES = [
    ("small", Shape(40, 52), 16, 1.0),
    ("small", Shape(40, 52), 9, 1.0),
    ("small", Shape(37, 41), 20, 2.0),
    ("small", Shape(30, 23), 11, 0.5),
    ("paper_like", Shape(40, 52), 16, 1.0),
    ("paper_like", Shape(40, 52), 9, 1.0),
    ("paper_like", Shape(37, 41), 20, 2.0),
    ("paper_like", Shape(30, 23), 11, 0.5),
]


@pytest.mark.parametrize(("kind", "shape", "side", "ratio"), CASES)
def test_tiles_equal_the_whole(make: Any, kind: str, shape: Shape, side: int, ratio: float) -> None:
    # Pitch 3.2: nodes lie anywhere between pixels, and also beyond the last ones.
    net = getattr(make, kind)(grid_pitch=3.2, grid_side=10)
    x, condition = torch.randn(1, shape.count, 3), make.labels(2)
    with torch.no_grad():
        whole = net(x, make.lattice(net, shape, ratio), T, condition)
        parts = in_tiles(make, net, x, shape, side, condition, ratio)
    assert whole.std() > 0.05
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize("kind", ["small", "paper_like"])
def test_a_shorter_halo_would_be_seen(make: Any, kind: str) -> None:
    net, shape = getattr(make, kind)(), Shape(40, 52)
    x, condition = torch.randn(1, shape.count, 3), make.labels(2)
    with torch.no_grad():
        whole = net(x, make.lattice(net, shape), T, condition)
        parts = in_tiles(make, net, x, shape, 16, condition, 1.0, shorter=1)
    assert (parts - whole).abs().max() > 1e-4


def test_nearest_points_across_tiles(make: Any) -> None:
    """Nodes on the corners of tiles read pixels of the neighbours: the halo of the grid's sum is wider for them."""
    net, shape = make.paper_like(grid_pitch=8.0, self_attention=False, cano="sets"), Shape(40, 40)
    x, condition = torch.randn(1, shape.count, 3), make.labels(0)
    with torch.no_grad():
        whole = net(x, make.lattice(net, shape), T, condition)
        parts = in_tiles(make, net, x, shape, 12, condition, 1.0)  # nodes at 12 and 36 are tile corners
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))


def test_tiny_preset_in_tiles(make: Any) -> None:
    net = make.awakened(InfBrushDenoiser(**preset("tiny", window=128, classes=("a", "b"))))
    shape = Shape(96, 80)
    x, condition = torch.randn(1, shape.count, 3), make.labels(1)
    with torch.no_grad():
        whole = net(x, make.lattice(net, shape), T, condition)
        for side in (48, 33):
            parts = in_tiles(make, net, x, shape, side, condition, 1.0)
            torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize("kind", ["small", "paper_like"])
@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_receptive_field_with_the_global_values_frozen(make: Any, kind: str, ratio: float) -> None:
    net, shape = getattr(make, kind)(), Shape(61, 61)
    support, condition = make.lattice(net, shape, ratio), make.labels(1)
    x, known = torch.randn(1, shape.count, 3), []
    with torch.no_grad():
        while isinstance(result := run_with(net.program(x, support, T, condition), known), Barrier):
            known.append(result.finish(result.partial))
    assert len(known) == len(net.barrier_reach(ratio)) - 1
    x.requires_grad_()
    out = run_with(net.program(x, support, T, condition), known).reshape(61, 61, 3)
    (influence,) = torch.autograd.grad(out[30, 30].sum(), x)
    rows, columns = influence.abs().sum(-1).reshape(61, 61).nonzero().unbind(1)
    reach = net.barrier_reach(ratio)[-1]
    assert 30 - rows.min() == rows.max() - 30 == 30 - columns.min() == columns.max() - 30 == reach
    assert reach < 30


def test_reaches_of_the_published_layout(make: Any) -> None:
    """Three blocks of 7 x 7: 9 pixels to the grid, 18 in all; with attention a barrier after every block (§7.2)."""
    net = make.small(blocks=3, kernel_size=7)
    assert net.barrier_reach() == [9, 18]
    assert net.barrier_reach(2.0) == [18, 36]
    paper = make.small(blocks=3, kernel_size=7, self_attention=True)
    assert paper.barrier_reach() == [3, 6, 9, 9, 12, 15, 18, 18]
    both = make.paper_like(blocks=1, kernel_size=3)
    assert both.barrier_reach() == [1, 1, 3, 2, 2, 2]


def test_two_conditions_share_a_tile(make: Any) -> None:
    """Classifier-free guidance evaluates both halves on one support."""
    net, shape = make.paper_like(), Shape(20, 20)
    x = torch.randn(1, 400, 3)
    condition = make.labels(1).with_unconditional()
    with torch.no_grad():
        both = net(x.repeat(2, 1, 1), make.lattice(net, shape, batch=2), T.repeat(2), condition)
        a = net(x, make.lattice(net, shape), T, make.labels(1))
        b = net(x, make.lattice(net, shape), T, ConditionBatch.none(1))
    torch.testing.assert_close(both, torch.cat([a, b]), rtol=1e-4, atol=1e-5)
