"""The operators that torch knows by name: their registrations, higher gradients, tracing and compiling."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.models.infbrush.block import PointBlock
from infbrush_wsi.operators.sparse_conv.dispatch import NOT_USED, choose_backend, sparse_depthwise_conv
from infbrush_wsi.operators.sparse_conv.op import sparse_depthwise, sparse_depthwise_weight
from infbrush_wsi.operators.sparse_conv.reference import sparse_depthwise_reference
from infbrush_wsi.operators.sparse_product import sparse_product

pairs_of = ("indptr", "indices", "taps")


def case(supports: Any, points: int = 14, channels: int = 2, k: int = 5, side: int = 12) -> tuple[Tensor, Tensor, Any]:
    torch.manual_seed(points)
    neighbours = supports.scattered(Shape(side, side), points, k=k).neighbours
    x = torch.randn(points, channels, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(k * k, channels, dtype=torch.float64, requires_grad=True)
    return x, weight, neighbours


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("flip", [False, True])
def test_registrations_hold_what_torch_asks_of_an_operator(supports: Any, backend: str, flip: bool) -> None:
    x, weight, n = case(supports)
    pairs = [getattr(n, name) for name in pairs_of]
    residual = torch.randn_like(x).requires_grad_()
    torch.library.opcheck(sparse_depthwise, (x, weight, *pairs, residual, 25.0, flip, backend))
    torch.library.opcheck(sparse_depthwise, (x, weight, *pairs, None, 0.0, flip, backend))
    torch.library.opcheck(sparse_depthwise_weight, (x, residual, *pairs, 25, backend))


@pytest.mark.parametrize("full", [0.0, 25.0])
@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_first_and_second_gradients_by_finite_differences(supports: Any, backend: Any, full: float) -> None:
    x, weight, n = case(supports)
    residual = torch.randn_like(x).requires_grad_()

    def layer(x: Tensor, weight: Tensor, residual: Tensor) -> Tensor:
        return sparse_depthwise_conv(x, weight, n, backend, full=full, residual=residual)

    assert torch.autograd.gradcheck(layer, (x, weight, residual))
    assert torch.autograd.gradgradcheck(layer, (x, weight, residual))


@pytest.mark.parametrize("points", [1, 2, 60, 144])
def test_density_and_residual_equal_their_definition(supports: Any, points: int) -> None:
    x, weight, n = case(supports, points, 3)
    residual = torch.randn_like(x)
    found = sparse_depthwise_conv(x, weight, n, "numba", full=25.0, residual=residual)
    density = n.indptr.diff()[:, None] / 25.0
    torch.testing.assert_close(found, residual + sparse_depthwise_reference(x, weight, n) / density)


def test_no_points_give_no_values() -> None:
    empty = torch.zeros(0, 3)
    pairs = (torch.zeros(1, dtype=torch.int64), torch.zeros(0, dtype=torch.int32), torch.zeros(0, dtype=torch.int16))
    for backend in ("numba", "reference"):
        assert sparse_depthwise(empty, torch.randn(9, 3), *pairs, None, 9.0, False, backend).shape == (0, 3)
        assert (sparse_depthwise_weight(empty, empty, *pairs, 9, backend) == 0).all()


def test_sparse_product_registrations(supports: Any) -> None:
    m = supports.scattered(Shape(12, 12), 20).to_grid
    x = torch.randn(20, 3, dtype=torch.float64, requires_grad=True)
    from infbrush_wsi.operators.sparse_product import _product

    torch.library.opcheck(_product, (x, m.indptr, m.indices, m.data, m.t_indptr, m.t_indices, m.t_data))
    assert torch.autograd.gradcheck(lambda x: sparse_product(m, x), (x,))
    assert torch.autograd.gradgradcheck(lambda x: sparse_product(m, x), (x,))


@pytest.mark.parametrize("scattered", [True, False])
def test_a_compiled_block_equals_the_block(supports: Any, scattered: bool) -> None:
    """One graph without breaks, forward and backward; 'aot_eager' traces as the compiler does and compiles nothing."""
    torch.manual_seed(0)
    shape = Shape(16, 16)
    support = supports.scattered(shape, 90, k=5) if scattered else supports.whole(shape)
    block = PointBlock(8, 5, 12, skip=True)
    torch.nn.init.normal_(block.contract.weight)
    x = torch.randn(1, support.coords.shape[1], 8, requires_grad=True)
    skip, embedding = torch.randn_like(x), torch.randn(1, 12)
    support.coords, support.area  # noqa: B018 (cached before tracing)
    compiled = torch.compile(block, backend="aot_eager", fullgraph=scattered)
    results = []
    for layer in (block, compiled):
        out = layer(x, support, embedding, skip)
        parameters = list(block.parameters())
        results.append((out, *torch.autograd.grad(out.square().sum(), [x, *parameters])))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_neighbours_must_fit_values_and_weight(supports: Any) -> None:
    x, weight, n = case(supports)
    for values, taps in ((x[:-1], weight), (x, weight[:9])):
        with pytest.raises(ConfigError, match="14 points and a kernel of 5² taps"):
            sparse_depthwise_conv(values, taps, n)


def test_every_choice_has_a_reason() -> None:
    assert "float32 on the CPU" in choose_backend(torch.zeros(1, 1))[1].replace("torch.", "")
    assert set(NOT_USED) == {"spconv", "torchsparse"}
