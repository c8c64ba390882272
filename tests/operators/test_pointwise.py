"""The fast point-wise layers against plain torch: values and gradients, block sizes, dtypes, autocast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from infbrush_wsi.operators.pointwise import (
    blockwise,
    blockwise_residual,
    chain,
    linear,
    linear_add,
    linear_gelu,
    modulated_norm,
    norm,
    product,
)
from infbrush_wsi.operators.pointwise.chain import pieces


@pytest.fixture(autouse=True)
def kernels_for_small_sets_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm, "FEWEST_VALUES", 1)


def test_small_sets_take_torchs_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    x, scale, shift, *_ = tensors(3, 9, 6, torch.float64)
    fast = [modulated_norm(x, *pair) for pair in ((scale, shift), (scale[:1], shift[0, 0]))]
    assert all("ModulatedNorm" in out.grad_fn.name() for out in fast)  # type: ignore[union-attr]
    monkeypatch.setattr(norm, "FEWEST_VALUES", 1 << 17)
    plain = [modulated_norm(x, *pair) for pair in ((scale, shift), (scale[:1], shift[0, 0]))]
    assert not any("ModulatedNorm" in out.grad_fn.name() for out in plain)  # type: ignore[union-attr]
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b)


def mlp(x: Tensor, scale: Tensor, shift: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.gelu(linear(modulated_norm(x, scale, shift), weight, bias))


def tensors(images: int, points: int, channels: int, dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(images + points + channels)
    shapes: list[tuple[int, ...]] = [(images, points, channels), (images, 1, channels), (images, 1, channels)]
    shapes += [(2 * channels, channels), (2 * channels,)]
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def plain_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:]) * scale + shift


def assert_equal_gradients(found: Tensor, expected: Tensor, inputs: list[Tensor], **tolerance: float) -> None:
    torch.testing.assert_close(found, expected, **tolerance)
    upstream = torch.randn_like(expected)
    own = torch.autograd.grad(found, inputs, upstream)
    for a, b in zip(own, torch.autograd.grad(expected, inputs, upstream), strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@settings(max_examples=25, deadline=None)
@given(images=st.integers(1, 3), points=st.integers(0, 70), channels=st.sampled_from([1, 2, 7, 16, 33]))
def test_modulated_norm_equals_layer_norm(images: int, points: int, channels: int) -> None:
    x, scale, shift, *_ = tensors(images, points, channels, torch.float64)
    found, expected = modulated_norm(x, scale, shift), plain_norm(x, scale, shift)
    assert_equal_gradients(found, expected, [x, scale, shift], rtol=1e-9, atol=1e-9)


def test_modulated_norm_by_finite_differences() -> None:
    x, scale, shift, *_ = tensors(2, 5, 6, torch.float64)
    assert torch.autograd.gradcheck(modulated_norm, (x, scale, shift))
    assert torch.autograd.gradcheck(modulated_norm, (x, scale[:1], shift[0, 0]))  # one modulation for all images


def test_modulated_norm_is_as_exact_as_torch_in_single_precision() -> None:
    x = 1000 + torch.randn(1, 500, 64)  # a large mean is where one-pass variances fail
    scale, shift = torch.randn(1, 1, 64), torch.randn(1, 1, 64)
    exact = plain_norm(x.double(), scale.double(), shift.double())
    own = (modulated_norm(x, scale, shift) - exact).abs().max()
    assert own <= 2 * (plain_norm(x, scale, shift) - exact).abs().max()


def test_modulated_norm_bits_do_not_depend_on_threads() -> None:
    x, scale, shift, *_ = tensors(2, 3000, 32, torch.float32)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        try:
            torch.set_num_threads(threads)
            out = modulated_norm(x, scale, shift)
            found.append((out, *torch.autograd.grad(out, (x, scale, shift), torch.ones_like(out))))
        finally:
            torch.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("rows", [0, 1, 256, 700])
@pytest.mark.parametrize("widths", [(5, 3), (64, 96), (2000, 1)])
def test_linear_equals_torch(rows: int, widths: tuple[int, int]) -> None:
    torch.manual_seed(rows)
    x = torch.randn(2, rows, widths[0], requires_grad=True)
    layer = nn.Linear(*widths)
    inputs = [x, layer.weight, layer.bias]
    for given_bias in (layer.bias, None):
        found, expected = linear(x, layer.weight, given_bias), F.linear(x, layer.weight, given_bias)
        assert_equal_gradients(found, expected, inputs[: 2 + (given_bias is not None)], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 40, 3000])
def test_what_follows_a_product_is_joined_to_it(rows: int, bias: bool) -> None:
    """Against float64, without gradients (one pass) and with (two); 3000 rows are enough for oneDNN, one is not."""
    torch.manual_seed(rows)
    x, weight, b = torch.randn(2, rows, 24), torch.randn(20, 24), torch.randn(20) if bias else None
    other, wide = torch.randn(2, rows, 20), torch.randn(1, 1, 20)
    inputs = [t.requires_grad_() for t in (x, weight, b, other, wide) if t is not None]
    exact = F.linear(x.double(), weight.double(), None if b is None else b.double())
    for make, expected in (
        (lambda: linear_gelu(x, weight, b), F.gelu(exact)),
        (lambda: linear_add(x, weight, b, other), other + exact),
        (lambda: linear_add(x, weight, b, other.transpose(0, 1).contiguous().transpose(0, 1)), other + exact),
        (lambda: linear_add(x, weight, b, wide), wide + exact),
    ):
        with torch.no_grad():
            alone = make()
        torch.testing.assert_close(alone.double(), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(make(), alone, rtol=1e-5, atol=1e-5)
        upstream = torch.randn_like(alone)
        own = torch.autograd.grad(make(), inputs, upstream, allow_unused=True)
        found = torch.autograd.grad(expected, inputs, upstream.double(), allow_unused=True, retain_graph=True)
        for one, right in zip(own, found, strict=True):
            assert (one is None) == (right is None)
            if one is not None:
                torch.testing.assert_close(one, right, rtol=1e-3, atol=1e-3)


def test_linear_takes_parts_of_matrices_and_transposed_values() -> None:
    whole = torch.randn(64, 128, requires_grad=True)
    part = whole.split(64, dim=1)[1]
    x = torch.randn(64, 600).t().requires_grad_()
    assert_equal_gradients(linear(x, part), F.linear(x, part), [x, whole], rtol=1e-4, atol=1e-4)


def test_the_product_is_chosen_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.randn(2048, 32), torch.randn(32, 32)
    cases = [(x.double(), weight.double(), "float64"), (x[:9], weight, "multiplications")]
    cases.append((x.to("meta"), weight, "meta"))
    for values, matrix, reason in cases:
        name, why = product.choose_product(values, matrix)
        assert name == "torch"
        assert reason in why
    with torch.autocast("cpu", torch.bfloat16):
        assert product.choose_product(x, weight)[0] == "torch"
    monkeypatch.setattr(product, "_available", lambda: False)
    assert "no oneDNN" in product.choose_product(x, weight)[1]
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight))


@settings(max_examples=50, deadline=None)
@given(images=st.integers(0, 5), points=st.integers(0, 40), rows=st.integers(1, 50))
def test_pieces_cover_every_point_once(images: int, points: int, rows: int) -> None:
    count = torch.zeros(images, points)
    for piece in pieces(count, rows):
        count[piece] += 1
        assert count[piece].numel() <= max(rows, points if points < rows else rows)
    assert (count == 1).all()


@pytest.fixture(params=[1, 7, 64, 100_000])
def block(request: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Points of a block: smaller than, equal to and larger than an image."""
    monkeypatch.setattr(chain, "block_rows", lambda x: request.param)
    return int(request.param)


@pytest.mark.parametrize(("images", "points"), [(1, 1), (3, 20), (2, 130)])
def test_blocks_equal_the_whole(block: int, images: int, points: int) -> None:
    x, scale, shift, weight, bias = inputs = tensors(images, points, 6, torch.float64)
    last = nn.Linear(12, 6).double()
    found = blockwise_residual(mlp, x, (scale, shift), (weight, bias), last)
    expected = x + last(F.gelu(F.linear(plain_norm(x, scale, shift), weight, bias)))
    assert_equal_gradients(found, expected, [*inputs, last.weight, last.bias], rtol=1e-9, atol=1e-9)
    without = blockwise(mlp, x, (scale, shift), (weight, bias))
    expected = F.gelu(F.linear(plain_norm(x, scale, shift), weight, bias))
    assert_equal_gradients(without, expected, inputs, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(blockwise(mlp, x, (scale, shift), (weight, bias)), expected)


def test_blocks_by_finite_differences(block: int) -> None:
    x, scale, shift, weight, bias = tensors(2, 5, 3, torch.float64)
    last = nn.Linear(6, 3).double()

    def layer(*values: Tensor) -> Tensor:
        return blockwise_residual(mlp, values[0], values[1:3], values[3:], last)

    assert torch.autograd.gradcheck(layer, (x, scale, shift, weight, bias))


def test_only_wanted_gradients_are_computed(block: int) -> None:
    x, scale, shift, weight, bias = tensors(2, 9, 4, torch.float32)
    last = nn.Linear(8, 4)
    out = blockwise_residual(mlp, x.detach(), (scale.detach(), shift), (weight, bias.detach()), last)
    found = torch.autograd.grad(out.sum(), (shift, weight, last.weight))
    assert all(torch.isfinite(g).all() for g in found)
    assert (
        blockwise(mlp, x.detach(), (scale.detach(), shift.detach()), (weight.detach(), bias.detach())).grad_fn is None
    )


def test_autocast_reaches_the_backward_pass() -> None:
    """Under autocast blocks must equal the chain at once, both in bfloat16 products."""
    x, scale, shift, weight, bias = inputs = tensors(1, 600, 32, torch.float32)
    last = nn.Linear(64, 32)

    def results(layer: Callable[[], Tensor]) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", torch.bfloat16):
            out = layer()
        return out, *torch.autograd.grad(out.float().square().mean(), [*inputs, last.weight])

    found = results(lambda: blockwise_residual(mlp, x, (scale, shift), (weight, bias), last))
    expected = results(lambda: x + last(mlp(x, scale, shift, weight, bias)))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-2, atol=2e-2 * float(b.detach().abs().max()))
    exact = x + last(F.gelu(F.linear(plain_norm(x, scale, shift), weight, bias)))
    assert (found[0] - exact).abs().max() > 1e-4  # really in bfloat16
