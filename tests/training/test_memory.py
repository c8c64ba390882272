"""How many layers recompute: bytes counted against autograd's own, and plans for limits between none and all."""

from __future__ import annotations

import pytest
import torch

from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.training.memory import SHARE, free_memory, plan_memory

LARGE = 1 << 50


def network() -> InfBrushDenoiser:
    torch.manual_seed(0)
    return InfBrushDenoiser(width=16, blocks=2, grid_side=8, grid_width=16, grid_multipliers=(1, 2), grid_pitch=8.0)


def test_room_for_everything_recomputes_nothing() -> None:
    plan = plan_memory(network(), 64, 4000, 2, LARGE, None)
    assert plan.layers == 0
    assert plan.activations > plan.recomputed > 0
    assert plan.states == 5 * sum(4 * p.numel() for p in network().parameters())


def test_no_room_recomputes_every_layer() -> None:
    assert plan_memory(network(), 64, 4000, 2, 1, None).layers == 4


def test_limits_between_recompute_as_many_as_needed() -> None:
    net = network()
    whole = plan_memory(net, 64, 4000, 2, LARGE, None)
    step = (whole.activations - whole.recomputed) / 4
    found = []
    for layers in range(5):
        wanted = whole.activations - step * (layers - 0.5)
        found.append(plan_memory(net, 64, 4000, 2, round((wanted + whole.states) / SHARE), None).layers)
    assert found == [0, 1, 2, 3, 4]
    assert net.recomputed_layers == 0


def test_bytes_grow_with_points_and_images() -> None:
    net = network()
    few, many = (plan_memory(net, 256, points, 1, LARGE, None) for points in (10_000, 40_000))
    two = plan_memory(net, 256, 10_000, 2, LARGE, None)
    assert two.activations == 2 * few.activations
    assert 3 < many.activations / few.activations <= 4
    per_point = (many.activations - few.activations) / 30_000
    assert per_point > 16 * 4 * 4  # at least the inputs of four layers of 16 channels


def test_counting_leaves_no_trace() -> None:
    net = network()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    plan_memory(net, 64, 4000, 1, LARGE, None)
    assert torch.equal(torch.rand(4), expected)
    assert all(p.grad is None for p in net.parameters())


def test_free_memory_is_that_of_the_machine() -> None:
    assert 1 << 20 < free_memory(torch.device("cpu")) < 1 << 46


@pytest.mark.parametrize("autocast", [torch.bfloat16, None])
def test_mixed_precision_can_be_planned(autocast: torch.dtype | None) -> None:
    assert plan_memory(network(), 64, 4000, 2, LARGE, autocast).activations > 0


def test_the_fused_optimiser_equals_the_plain_one_whatever_the_layout_of_weights() -> None:
    """The fused update walks through memory; weights of convolutions lie channels-last."""
    nets = [network(), network()]
    for net, fused in zip(nets, (True, False), strict=True):
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2, fused=fused)
        for _ in range(3):
            torch.manual_seed(1)
            sum((p * torch.randn(p.shape)).sum() + p.square().sum() for p in net.parameters()).backward()  # type: ignore[union-attr]
            optimizer.step()
            optimizer.zero_grad()
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
