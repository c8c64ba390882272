"""Softmax attention against its definition, and which implementation is chosen."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from infbrush_wsi.operators.softmax_attention import choose_attention, softmax_attention


def definition(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v


@pytest.mark.parametrize(("nodes", "tokens"), [(1, 1), (64, 64), (33, 4), (5, 300)])
def test_equals_the_definition_in_values_and_gradients(nodes: int, tokens: int) -> None:
    torch.manual_seed(0)
    sizes = (nodes, tokens, tokens)
    inputs = [torch.randn(2, n, 3, 8, dtype=torch.float64).transpose(1, 2).requires_grad_() for n in sizes]
    found, expected = softmax_attention(*inputs), definition(*inputs)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn_like(expected)
    for a, b in zip(
        torch.autograd.grad(found, inputs, upstream), torch.autograd.grad(expected, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_the_choice_has_a_reason() -> None:
    assert choose_attention(torch.zeros(1, 1, 4, 8)) == ("sdpa", "values are on cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, 64, 32, dtype=torch.float64) for _ in range(3)]
    found = softmax_attention(*(t.to("cuda", dtype) for t in inputs)).double().cpu()
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found, definition(*inputs), rtol=tolerance, atol=tolerance)
