"""The convolution with a packed weight against torch's, as weights, shapes and modes change."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from infbrush_wsi.operators.packed_conv import _CACHE, PackedConv2d, choose_convolution


def plain(conv: PackedConv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 4, 5])
@pytest.mark.parametrize("batch", [1, 2])
def test_equals_torch(stride: int, side: int, batch: int) -> None:
    torch.manual_seed(0)
    conv = PackedConv2d(24, 32, 3, stride=stride, padding=1).to(memory_format=torch.channels_last)
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(batch, 24, side, side).to(memory_format=layout)
        with torch.no_grad():
            assert choose_convolution(x, conv.weight)[0] == "packed"
            torch.testing.assert_close(conv(x), plain(conv, x), rtol=1e-4, atol=1e-5)


def test_changed_weights_and_other_shapes_are_packed_anew() -> None:
    conv = PackedConv2d(24, 32, 3, padding=1)
    with torch.no_grad():
        for side in (4, 5, 4):
            x = torch.randn(1, 24, side, side)
            torch.testing.assert_close(conv(x), plain(conv, x), rtol=1e-4, atol=1e-5)
        packed = _CACHE[conv][1]
        conv(x)
        assert _CACHE[conv][1] is packed
        conv.weight.mul_(2.0)
        torch.testing.assert_close(conv(x), plain(conv, x), rtol=1e-4, atol=1e-5)
        conv.weight = torch.nn.Parameter(torch.randn_like(conv.weight))
        torch.testing.assert_close(conv(x), plain(conv, x), rtol=1e-4, atol=1e-5)


def test_gradients_flow_and_copies_are_their_own() -> None:
    conv, x = PackedConv2d(24, 32, 3, padding=1), torch.randn(1, 24, 4, 4, requires_grad=True)
    with torch.no_grad():
        conv(x)
    twin = copy.deepcopy(conv)
    with torch.no_grad():
        twin.weight.zero_()
        assert (twin(x) == twin.bias[None, :, None, None]).all()  # type: ignore[index]
    for a, b in zip(
        torch.autograd.grad(conv(x).sum(), (x, conv.weight)),
        torch.autograd.grad(plain(conv, x).sum(), (x, conv.weight)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_the_cache_forgets_networks_that_are_gone() -> None:
    conv = PackedConv2d(24, 32, 3, padding=1)
    with torch.no_grad():
        conv(torch.randn(1, 24, 4, 4))
    before = len(_CACHE)
    del conv
    assert len(_CACHE) == before - 1


@torch.no_grad()
def test_the_choice_has_a_reason() -> None:
    weight = torch.randn(8, 8, 3, 3)
    assert "float64" in choose_convolution(torch.randn(1, 8, 2, 2).double(), weight.double())[1]
    with torch.autocast("cpu", torch.bfloat16):
        assert "autocast" in choose_convolution(torch.randn(1, 8, 2, 2), weight)[1]
    with torch.enable_grad():
        assert "gradients" in choose_convolution(torch.randn(1, 8, 2, 2), weight)[1]
