"""Linear attention, CANO and the self-attention operator against their quadratic definitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators.barrier import Barrier, run_whole, run_with
from infbrush_wsi.operators.cano import CrossAttentionNeuralOperator
from infbrush_wsi.operators.linear_attention import (
    STREAM,
    attend,
    head_softmax,
    join_heads,
    key_value_sums,
    split_heads,
)
from infbrush_wsi.operators.self_attention import SelfAttentionOperator


def quadratic(query: Tensor, key: Tensor, value: Tensor, area: Tensor) -> Tensor:
    """``Σ_j w_ij v_j`` with w_ij = a_j q_i·k_j / Σ_j a_j q_i·k_j, one query and head at a time."""
    out = torch.zeros_like(query)
    for b in range(query.shape[0]):
        for h in range(query.shape[1]):
            for i in range(query.shape[3]):
                w = area[b] * (key[b, h].T @ query[b, h, :, i])
                out[b, h, :, i] = value[b, h] @ (w / w.sum())
    return out


def randomised(layer: torch.nn.Module, seed: int = 0) -> Any:
    """Output layers start at zero, where a test would prove nothing."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return layer.double()


@pytest.mark.parametrize("weighted", [True, False])
def test_equals_the_quadratic_form(weighted: bool) -> None:
    torch.manual_seed(0)
    q = head_softmax(torch.randn(2, 9, 12, dtype=torch.float64), 3)
    k = head_softmax(torch.randn(2, 14, 12, dtype=torch.float64), 3)
    v = split_heads(torch.randn(2, 14, 12, dtype=torch.float64), 3)
    area = torch.rand(2, 14, dtype=torch.float64) if weighted else torch.ones(2, 14, dtype=torch.float64)
    found = attend(q, key_value_sums(k, v, area if weighted else None))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, quadratic(q, k, v, area), rtol=1e-12, atol=1e-12)


def test_area_counts_a_token_as_often_as_it_says() -> None:
    torch.manual_seed(0)
    k = head_softmax(torch.randn(1, 5, 8, dtype=torch.float64), 2)
    v = split_heads(torch.randn(1, 5, 8, dtype=torch.float64), 2)
    times = torch.tensor([1, 3, 2, 1, 4])
    repeated = key_value_sums(k.repeat_interleave(times, 3), v.repeat_interleave(times, 3))
    for a, b in zip(key_value_sums(k, v, times[None].double()), repeated, strict=True):
        torch.testing.assert_close(a, b)


def test_sums_keep_full_precision_under_mixed_precision() -> None:
    torch.manual_seed(0)
    k, v = torch.rand(1, 2, 8, 3000), torch.randn(1, 2, 8, 3000)
    expected = key_value_sums(k, v)
    with torch.autocast("cpu", torch.bfloat16):
        found = key_value_sums(k, v)
        out = attend(k, found)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(out, attend(k, expected))


def test_sums_are_streamed_in_an_order_that_threads_do_not_change() -> None:
    torch.manual_seed(0)
    tokens = 2 * STREAM + 77
    k, v = torch.rand(1, 2, 8, tokens), torch.randn(1, 2, 8, tokens)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        try:
            torch.set_num_threads(threads)
            found.append(key_value_sums(k, v))
        finally:
            torch.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)
    expected = torch.einsum("bhdn,bhen->bhde", k.double(), v.double())
    torch.testing.assert_close(found[0][0].double(), expected, rtol=1e-4, atol=1e-3)


def test_gradients_by_finite_differences() -> None:
    torch.manual_seed(0)
    x, y = (torch.randn(1, n, 6, dtype=torch.float64, requires_grad=True) for n in (3, 4))
    area = torch.rand(1, 4, dtype=torch.float64, requires_grad=True)

    def operator(x: Tensor, y: Tensor, area: Tensor) -> Tensor:
        return attend(head_softmax(x, 2), key_value_sums(head_softmax(y, 2), split_heads(y, 2), area))

    assert torch.autograd.gradcheck(operator, (x, y, area))


def test_self_attention_equals_its_definition(supports: Any) -> None:
    layer = randomised(SelfAttentionOperator(8, 2))
    support = supports.scattered(Shape(16, 16), 20, batch=2)
    support = replace(support, area=1 + 9 * torch.rand(2, 20))
    x = torch.randn(2, 20, 8, dtype=torch.float64)
    q, k, v = layer.maps(layer.norm(x)).chunk(3, -1)
    q, k, v = head_softmax(q, 2), head_softmax(k, 2), split_heads(v, 2)
    expected = x + layer.out(join_heads(q + quadratic(q, k, v, support.area.double())))
    torch.testing.assert_close(run_whole(layer.program(x, support)), expected, rtol=1e-12, atol=1e-12)


def test_self_attention_over_tiles_equals_the_whole(supports: Any) -> None:
    shape = Shape(21, 30)
    layer = randomised(SelfAttentionOperator(8, 4))
    x = torch.randn(1, shape.count, 8, dtype=torch.float64)
    expected = run_whole(layer.program(x, supports.whole(shape))).reshape(21, 30, 8)
    image, total = x.reshape(21, 30, 8), None
    tiles = supports.cut(shape, 8, 3)

    def part(support: Any) -> Tensor:
        return image[support.box.slices].reshape(1, -1, 8)

    for support in tiles:
        barrier = run_with(layer.program(part(support), support), [])
        assert isinstance(barrier, Barrier)
        total = barrier.partial.added_to(total)
    value = barrier.finish(total)
    for support in tiles:
        out = run_with(layer.program(part(support), support), [value]).reshape(support.box.h, support.box.w, 8)
        inner = support.owned.relative_to(support.box)
        torch.testing.assert_close(out[inner.slices], expected[support.owned.slices], rtol=1e-10, atol=1e-10)


def test_cano_equals_its_definition(supports: Any) -> None:
    layer = randomised(CrossAttentionNeuralOperator(8, 2, {"a": 5, "here": 6}, frozenset({"here"})))
    support = supports.scattered(Shape(16, 16), 20, batch=2)
    support = replace(support, area=1 + 9 * torch.rand(2, 20))
    x = torch.randn(2, 20, 8, dtype=torch.float64)
    tokens = {"a": torch.randn(2, 7, 5, dtype=torch.float64), "here": torch.randn(2, 20, 6, dtype=torch.float64)}
    q = head_softmax(layer.query(layer.norm(x)), 2)
    total = q
    for name, area in (("a", torch.ones(2, 7, dtype=torch.float64)), ("here", support.area.double())):
        k, v = layer.keys_values[name](layer.set_norms[name](tokens[name])).chunk(2, -1)
        total = total + quadratic(q, head_softmax(k, 2), split_heads(v, 2), area)
    expected = x + layer.out(join_heads(total))
    torch.testing.assert_close(run_whole(layer.program(x, tokens, support)), expected, rtol=1e-12, atol=1e-12)


def test_a_set_of_one_token_is_a_bias_that_no_query_changes(supports: Any) -> None:
    layer = randomised(CrossAttentionNeuralOperator(8, 2, {"time": 5}))
    support = supports.scattered(Shape(16, 16), 20)
    x = torch.randn(1, 20, 8, dtype=torch.float64)
    token = torch.randn(1, 1, 5, dtype=torch.float64)
    value = layer.keys_values["time"](layer.set_norms["time"](token))[..., 8:]
    q = join_heads(head_softmax(layer.query(layer.norm(x)), 2))
    expected = x + layer.out(q + value)
    torch.testing.assert_close(run_whole(layer.program(x, {"time": token}, support)), expected)


def test_heads_must_divide_the_channels() -> None:
    with pytest.raises(ConfigError, match="10 channels cannot be cut into 4 heads"):
        SelfAttentionOperator(10, 4)
    with pytest.raises(ConfigError, match="10 channels cannot be cut into 4 heads"):
        CrossAttentionNeuralOperator(10, 4, {})


def test_layers_start_as_the_identity(supports: Any) -> None:
    support, x = supports.scattered(Shape(16, 16), 20), torch.randn(1, 20, 8)
    assert torch.equal(run_whole(SelfAttentionOperator(8, 2).program(x, support)), x)
