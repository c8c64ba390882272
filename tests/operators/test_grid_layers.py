"""Layers of the grid's U-Net: windows as a partition of unity, attention by its formula, any grid size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from infbrush_wsi.operators.grid_layers import ChannelNorm, CrossAttention, GridAttention, GridBlock
from infbrush_wsi.operators.softmax_attention import softmax_attention
from infbrush_wsi.operators.uno import GridUNet


def randomised(layer: nn.Module, scale: float = 0.3) -> Any:
    """Output layers start at zero, where a test would prove nothing."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter) * scale)
    return layer.double().eval()


def slow_attention(layer: GridAttention, x: Tensor) -> Tensor:
    """softmax(q kᵀ / √d) v over all nodes, head by head."""
    b, c, h, w = x.shape
    nodes = x.permute(0, 2, 3, 1).reshape(b, h * w, c)
    q, k, v = layer.maps(layer.norm(nodes)).chunk(3, -1)
    outs = []
    for part in range(layer.heads):
        at = slice(part * c // layer.heads, (part + 1) * c // layer.heads)
        scores = q[..., at] @ k[..., at].transpose(1, 2) / (c // layer.heads) ** 0.5
        outs.append(scores.softmax(-1) @ v[..., at])
    return (nodes + layer.out(torch.cat(outs, -1))).reshape(b, h, w, c).permute(0, 3, 1, 2)


@pytest.mark.parametrize("channels", [16, 64, 96])
def test_attention_equals_its_formula(channels: int) -> None:
    layer = randomised(GridAttention(channels, 8))
    x = torch.randn(2, channels, 6, 8, dtype=torch.float64)
    torch.testing.assert_close(layer(x), slow_attention(layer, x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("h", "w"), [(8, 8), (5, 8), (3, 2)])
def test_windows_equal_the_whole_where_the_grid_fits(h: int, w: int) -> None:
    layer = randomised(GridAttention(32, 8))
    maps = torch.randn(2, h, w, 96, dtype=torch.float64)
    torch.testing.assert_close(layer._windows(maps), layer._whole(maps), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("h", "w", "window"), [(9, 9, 8), (21, 8, 8), (17, 30, 6), (5, 40, 7), (33, 33, 1), (80, 75, 4)]
)
def test_windows_are_a_partition_of_unity(h: int, w: int, window: int) -> None:
    layer = GridAttention(32, window).double()
    maps = torch.randn(1, h, w, 96, dtype=torch.float64)
    value = torch.randn(32, dtype=torch.float64)
    maps[..., 64:] = value  # attention to a constant gives the constant, so only the blending can change it
    out = layer._windows(maps)
    torch.testing.assert_close(out, value.expand_as(out), rtol=1e-12, atol=1e-12)


def test_windows_see_their_own_nodes_only() -> None:
    layer = randomised(GridAttention(32, 8))
    x = torch.randn(1, 32, 8, 40, dtype=torch.float64)
    changed = x.clone()
    changed[..., 30] += torch.randn(1, 32, 8)
    difference = (layer(changed) - layer(x)).abs().amax(dim=(0, 1, 2))
    assert (difference[:24] == 0).all()  # windows begin at 0, 4, 8, ...: those at 24 and 28 hold node 30
    assert (difference[24:36] > 1e-6).all()
    assert (difference[36:] == 0).all()


def test_many_windows_equal_one_window_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = randomised(GridAttention(32, 4))
    x = torch.randn(2, 32, 13, 10, dtype=torch.float64)
    together = layer(x)
    monkeypatch.setattr("infbrush_wsi.operators.grid_layers.WINDOWS_AT_ONCE", 3)
    torch.testing.assert_close(layer(x), together, rtol=1e-12, atol=1e-12)


def test_softmax_attention_equals_torchs() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 8, dtype=torch.float64) for n in (7, 11, 11))
    expected = nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(softmax_attention(q, k, v), expected, rtol=1e-12, atol=1e-12)


def test_cross_attention_equals_torchs_multi_head_attention() -> None:
    layer = randomised(CrossAttention(64, 20))
    nodes, tokens = torch.randn(2, 3, 5, 64, dtype=torch.float64), torch.randn(2, 4, 20, dtype=torch.float64)
    k, v = layer.keys_values(tokens).chunk(2, -1)
    reference = nn.MultiheadAttention(64, 2, bias=False, batch_first=True).double()
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.eye(64, dtype=torch.float64).repeat(3, 1))
        reference.out_proj.weight.copy_(layer.out.weight)
    out, _ = reference(layer.query(layer.norm(nodes)).reshape(2, 15, 64), k, v)
    expected = nodes + (out + layer.out.bias).reshape(nodes.shape)
    torch.testing.assert_close(layer(nodes, tokens), expected, rtol=1e-10, atol=1e-10)


def test_channel_norm_is_per_node() -> None:
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    found = ChannelNorm(6).double()(x)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(found, expected)


def test_block_is_modulated_and_starts_as_the_identity() -> None:
    block, x = GridBlock(8, 8, 5).double(), torch.randn(1, 8, 4, 4, dtype=torch.float64)
    assert torch.equal(block(x, torch.randn(1, 5, dtype=torch.float64)), x)
    block = randomised(block)
    a, b = (block(x, torch.full((1, 5), v, dtype=torch.float64)) for v in (0.1, 1.0))
    assert (a - b).abs().max() > 1e-3


@pytest.mark.parametrize(("h", "w"), [(16, 16), (17, 13), (1, 1), (2, 5), (40, 23)])
def test_unet_runs_on_any_grid_size(h: int, w: int) -> None:
    net = randomised(GridUNet(8, (1, 2, 2), 1, 6, 5, 1, 16), 0.1)
    x = torch.randn(2, 8, h, w, dtype=torch.float64)
    out = net(x, torch.randn(2, 6, dtype=torch.float64), torch.randn(2, 3, 5, dtype=torch.float64))
    assert out.shape == x.shape
    assert torch.isfinite(out).all()
    assert out.std() > 1e-3


def test_unet_listens_to_grid_vector_and_tokens() -> None:
    net = randomised(GridUNet(8, (1, 2), 1, 6, 5, 1, 16), 0.2)
    torch.manual_seed(1)
    arguments = [torch.randn(1, 8, 16, 16), torch.randn(1, 6), torch.randn(1, 3, 5)]
    arguments = [a.double().requires_grad_() for a in arguments]
    gradients = torch.autograd.grad(net(*arguments).square().sum(), arguments)
    assert all(g.abs().sum(dim=-1).min() > 0 for g in gradients)


def test_unet_far_from_the_borders_does_not_depend_on_the_grids_size() -> None:
    """Beyond the trained side attention works in windows: a distant change must not reach a node."""
    net = randomised(GridUNet(8, (1, 2), 1, 6, 5, 1, 8), 0.2)
    e, t = torch.randn(1, 6, dtype=torch.float64), torch.randn(1, 3, 5, dtype=torch.float64)
    x = torch.randn(1, 8, 8, 96, dtype=torch.float64)
    changed = x.clone()
    changed[..., -1] += torch.randn(1, 8, 8)
    difference = (net(x, e, t) - net(changed, e, t)).abs().amax(dim=(0, 1, 2))
    assert (difference[:20] == 0).all()
    assert difference[-1] > 1e-6
