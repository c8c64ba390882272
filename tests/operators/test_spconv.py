"""spconv as a back end of the sparse convolution, against the reference in float64. Needs spconv."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError, MissingExtraError
from infbrush_wsi.operators.sparse_conv import spconv_backend
from infbrush_wsi.operators.sparse_conv.reference import sparse_depthwise_reference
from infbrush_wsi.points.neighbours import build_neighbours
from infbrush_wsi.points.support import Neighbours

needs_spconv = pytest.mark.skipif(importlib.util.find_spec("spconv") is None, reason="spconv is not installed")


def scattered(points: int, shape: Shape, k: int) -> Neighbours:
    flat = np.sort(np.random.default_rng(points).choice(shape.count, points, replace=False))
    found = build_neighbours(np.stack(np.divmod(flat, shape.w), 1).astype(np.int32), k)
    return Neighbours(*(torch.from_numpy(a) for a in (found.indptr, found.indices, found.taps)), k)


@needs_spconv
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("points", "channels", "k"), [(0, 3, 3), (1, 2, 7), (60, 1, 3), (90, 33, 7), (130, 4, 1), (143, 5, 13)]
)
def test_convolution_and_gradients(points: int, channels: int, k: int, dtype: torch.dtype) -> None:
    neighbours = scattered(points, Shape(11, 13), k)
    pairs = (neighbours.indptr, neighbours.indices, neighbours.taps)
    torch.manual_seed(points)
    x, upstream = torch.randn(2, points, channels, dtype=dtype).unbind()
    weight = torch.randn(k * k, channels, dtype=dtype)
    x64, weight64 = x.double().requires_grad_(), weight.double().requires_grad_()
    expected = sparse_depthwise_reference(x64, weight64, neighbours)
    dx, dw = torch.autograd.grad(expected, (x64, weight64), upstream.double())
    close: Any = {"rtol": 2e-5, "atol": 2e-5} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    for found, wanted in (
        (spconv_backend.convolve(x, weight, *pairs, False), expected.detach()),
        (spconv_backend.convolve(upstream, weight, *pairs, True), dx),
        (spconv_backend.weight_gradient(x, upstream, *pairs, k * k), dw),
    ):
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), wanted, **close)


@needs_spconv
def test_dtypes_that_spconv_does_not_know_are_refused() -> None:
    n = scattered(10, Shape(5, 5), 3)
    with pytest.raises(ConfigError, match="bfloat16"):
        spconv_backend.convolve(torch.zeros(10, 2).bfloat16(), torch.zeros(9, 2), n.indptr, n.indices, n.taps, False)
    assert spconv_backend.available(torch.device("meta"))[0] is False


@needs_spconv
def test_spconv_still_has_no_depthwise_convolution() -> None:
    """The day this fails, the diagonal weight can go."""
    pytorch = importlib.import_module("spconv.pytorch")
    with pytest.raises(AssertionError, match="groups"):
        pytorch.SubMConv2d(4, 4, 3, groups=4)


@pytest.mark.skipif(importlib.util.find_spec("spconv") is not None, reason="spconv is installed")
def test_absence_is_told() -> None:
    n = scattered(10, Shape(5, 5), 3)
    usable, reason = spconv_backend.available()
    assert (usable, "pip install" in reason) == (False, True)
    with pytest.raises(MissingExtraError, match="spconv"):
        spconv_backend.convolve(torch.zeros(10, 2), torch.zeros(9, 2), n.indptr, n.indices, n.taps, False)
