"""The sparse convolution: back ends against each other, against conv2d, and against finite differences."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators.sparse_conv import DepthwiseConv
from infbrush_wsi.operators.sparse_conv.dispatch import choose_backend, sparse_depthwise_conv
from infbrush_wsi.operators.sparse_conv.reference import sparse_depthwise_reference
from infbrush_wsi.operators.sparse_conv.rescale import rescaled_kernel, rescaled_side
from infbrush_wsi.points.draw import Draw
from infbrush_wsi.points.neighbours import build_neighbours
from infbrush_wsi.points.prepare import Layout, scatter_support
from infbrush_wsi.points.support import Neighbours

RATIOS = {0.5: 3, 0.75: 5, 1.0: 7, 1.5: 11, 2.0: 13, 3.0: 21, 4.0: 29, 8.0: 57, 16.0: 113}  # science.md §1.8


def case(supports: Any, points: int, channels: int, k: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Any]:
    torch.manual_seed(points)
    support = supports.scattered(Shape(40, 33), points, k=k, batch=2)
    x = torch.randn(2 * points, channels, dtype=dtype, requires_grad=True)
    weight = torch.randn(k * k, channels, dtype=dtype, requires_grad=True)
    return x, weight, support.neighbours


def slow(x: Tensor, weight: Tensor, coords: Tensor, k: int) -> Tensor:
    """By the definition, over all pairs of points of one image."""
    out = torch.zeros_like(x)
    for i in range(len(x)):
        for j in range(len(x)):
            dy, dx = (coords[j] - coords[i]).round().long().tolist()
            if max(abs(dy), abs(dx)) <= k // 2:
                out[i] += weight[(dy + k // 2) * k + dx + k // 2] * x[j]
    return out


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_equals_the_definition(supports: Any, backend: Any) -> None:
    support = supports.scattered(Shape(12, 14), 60, k=5)
    torch.manual_seed(0)
    x, weight = torch.randn(60, 3, dtype=torch.float64), torch.randn(25, 3, dtype=torch.float64)
    found = sparse_depthwise_conv(x, weight, support.neighbours, backend)
    torch.testing.assert_close(found, slow(x, weight, support.coords[0], 5), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("points", "channels", "k"), [(1, 1, 3), (37, 3, 7), (500, 8, 7), (700, 5, 3), (300, 33, 13)])
def test_numba_equals_reference_in_values_and_gradients(supports: Any, points: int, channels: int, k: int) -> None:
    x, weight, neighbours = case(supports, points, channels, k, torch.float64)
    upstream = torch.randn(x.shape, dtype=torch.float64)
    results = []
    for backend in ("numba", "reference"):
        out = sparse_depthwise_conv(x, weight, neighbours, backend)
        results.append((out, *torch.autograd.grad(out, (x, weight), upstream)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_non_contiguous_values_and_gradients(supports: Any) -> None:
    x, weight, neighbours = case(supports, 100, 6, 5, torch.float64)
    x2 = x.detach().T.contiguous().T.requires_grad_()
    w2 = weight.detach().T.contiguous().T.requires_grad_()
    upstream = torch.randn(6, 200, dtype=torch.float64).T
    expected = torch.autograd.grad(sparse_depthwise_reference(x, weight, neighbours), (x, weight), upstream)
    found = torch.autograd.grad(sparse_depthwise_conv(x2, w2, neighbours, "numba"), (x2, w2), upstream)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_by_finite_differences(supports: Any) -> None:
    x, weight, neighbours = case(supports, 12, 2, 5, torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: sparse_depthwise_conv(a, b, neighbours, "numba"), (x, weight))


def test_only_wanted_gradients_are_computed(supports: Any) -> None:
    x, weight, neighbours = case(supports, 50, 4, 5, torch.float32)
    out = sparse_depthwise_conv(x.detach(), weight, neighbours, "numba")
    (gradient,) = torch.autograd.grad(out.sum(), weight)
    expected = torch.autograd.grad(sparse_depthwise_reference(x, weight, neighbours).sum(), weight)[0]
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


def test_bits_do_not_depend_on_the_number_of_threads(supports: Any) -> None:
    x, weight, neighbours = case(supports, 1000, 16, 7, torch.float32)
    upstream = torch.randn(x.shape)
    results = []
    before = torch.get_num_threads()
    for threads in (1, 2) if numba.config.NUMBA_NUM_THREADS > 1 else (1,):
        try:
            torch.set_num_threads(threads)  # numba follows, see `torch_threads`
            out = sparse_depthwise_conv(x, weight, neighbours, "numba")
            results.append((out, *torch.autograd.grad(out, (x, weight), upstream)))
        finally:
            torch.set_num_threads(before)
    if len(results) == 1:
        pytest.skip("this machine has one core")
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_back_end_is_chosen_by_device_and_dtype(supports: Any) -> None:
    x, weight, neighbours = case(supports, 10, 2, 3, torch.float32)
    assert choose_backend(x)[0] == "numba"
    name, reason = choose_backend(x.half())
    assert (name, "float16" in reason) == ("reference", True)
    assert choose_backend(x.to("meta"))[0] == "reference"
    torch.testing.assert_close(
        sparse_depthwise_conv(x.half(), weight, neighbours).float(),
        sparse_depthwise_conv(x, weight, neighbours),
        rtol=0.02,
        atol=0.02,
    )
    with pytest.raises(ConfigError, match="'cuda'"):
        sparse_depthwise_conv(x, weight, neighbours, "cuda")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [Shape(20, 17), Shape(3, 30), Shape(1, 1)])
def test_all_pixels_scattered_equal_the_dense_convolution(supports: Any, shape: Shape) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv(5, 7).double()
    x = torch.randn(1, shape.count, 5, dtype=torch.float64)
    scattered = layer(x, supports.everywhere(shape))
    tile = layer(x, supports.whole(shape))
    image = x.reshape(1, shape.h, shape.w, 5).permute(0, 3, 1, 2)
    ones = torch.ones(1, 1, shape.h, shape.w, dtype=torch.float64)
    density = F.conv2d(ones, torch.full((1, 1, 7, 7), 1 / 49, dtype=torch.float64), padding=3)
    expected = F.conv2d(image, layer.weight.unsqueeze(1), padding=3, groups=5) / density
    expected = expected.permute(0, 2, 3, 1).reshape(x.shape)
    torch.testing.assert_close(tile, expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(scattered, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("ratio", "side"), RATIOS.items())
def test_sides_of_rescaled_kernels(ratio: float, side: int) -> None:
    assert rescaled_side(7, ratio) == side
    assert rescaled_kernel(torch.randn(2, 7, 7), ratio).shape == (2, side, side)
    assert DepthwiseConv(1, 7).reach(ratio) == side // 2


@pytest.mark.parametrize("ratio", RATIOS)
def test_constants_stay_constant_at_every_ratio(supports: Any, ratio: float) -> None:
    """With a constant kernel, borders included: the density divides out how many pixels there are."""
    shape = Shape(max(8, round(20 * ratio)), max(6, round(14 * ratio)))
    layer = DepthwiseConv(2, 7)
    torch.nn.init.constant_(layer.weight, 0.3)
    out = layer(torch.full((1, shape.count, 2), 1.7), supports.whole(shape, ratio=ratio))
    torch.testing.assert_close(
        out, torch.full_like(out, 1.7 * 0.3 * 49), rtol=5e-4, atol=0
    )  # float32 sums of up to 113² taps


@pytest.mark.parametrize("ratio", [1.5, 2.0, 4.0])
def test_a_finer_lattice_evaluates_nearly_the_same_operator(supports: Any, ratio: float) -> None:
    torch.manual_seed(1)
    layer = DepthwiseConv(1, 7)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(1, 2, 2).repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :7, :7])
    outs = []
    for r in (1.0, ratio):
        shape = Shape(round(48 * r), round(48 * r))
        support = supports.whole(shape, ratio=r)
        y, x = support.coords.unbind(-1)
        f = torch.sin(0.2 * y + 0.1 * x)[..., None]
        outs.append(layer(f, support).reshape(1, 1, *shape.as_tuple()))
    fine = F.interpolate(outs[1], size=(48, 48), mode="bilinear", antialias=True)
    inside = (slice(None), slice(None), slice(6, -6), slice(6, -6))
    error = (fine - outs[0])[inside].abs().max() / outs[0][inside].abs().max()
    assert error < 0.12


def test_tiles_with_a_halo_equal_the_whole(supports: Any) -> None:
    shape = Shape(50, 41)
    layer = DepthwiseConv(3, 5)
    for ratio in (0.5, 1.0, 2.0):
        x = torch.randn(1, shape.count, 3)
        expected = layer(x, supports.whole(shape, ratio=ratio)).reshape(50, 41, 3)
        for support in supports.cut(shape, 16, layer.reach(ratio), ratio=ratio):
            part = x.reshape(50, 41, 3)[support.box.slices].reshape(1, -1, 3)
            out = layer(part, support).reshape(support.box.h, support.box.w, 3)
            inner = support.owned.relative_to(support.box)
            torch.testing.assert_close(out[inner.slices], expected[support.owned.slices], rtol=1e-4, atol=1e-5)


def test_batches_do_not_mix(supports: Any) -> None:
    support = supports.scattered(Shape(16, 16), 80, batch=2)
    layer = DepthwiseConv(4, 7)
    x = torch.randn(2, 80, 4)
    changed = x.clone()
    changed[1] += 1
    assert torch.equal(layer(x, support)[0], layer(changed, support)[0])
    assert not torch.allclose(layer(x, support)[1], layer(changed, support)[1])


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    share=st.floats(0.0, 1.0),
    channels=st.sampled_from([1, 3, 17]),
    k=st.sampled_from([1, 3, 7, 13]),
    full=st.sampled_from([0.0, 49.0]),
    add=st.booleans(),
    seed=st.integers(0, 99),
)
def test_numba_equals_reference_on_any_point_set(
    height: int, width: int, share: float, channels: int, k: int, full: float, add: bool, seed: int
) -> None:
    """Empty sets, single points, points on borders and full lattices; values and all gradients."""
    rng = np.random.default_rng(seed)
    index = np.argwhere(rng.random((height, width)) < share).astype(np.int32)
    found = build_neighbours(index, k)
    n = Neighbours(*(torch.from_numpy(a) for a in (found.indptr, found.indices, found.taps)), kernel_size=k)
    x, rest = (torch.from_numpy(rng.normal(size=(len(index), channels))).requires_grad_() for _ in range(2))
    weight = torch.from_numpy(rng.normal(size=(k * k, channels))).requires_grad_()
    upstream = torch.from_numpy(rng.normal(size=x.shape))
    inputs = (x, weight, rest) if add else (x, weight)
    results = []
    for backend in ("numba", "reference"):
        out = sparse_depthwise_conv(x, weight, n, backend, full=full, residual=rest if add else None)
        results.append((out, *torch.autograd.grad(out, inputs, upstream)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("step", [2, 3])
@pytest.mark.parametrize("k", [5, 7])
def test_a_coarser_lattice_is_a_sparse_draw(supports: Any, step: int, k: int) -> None:
    """Dense evaluation at 1/2 and 1/3 of the resolution sees what every second or third training pixel would."""
    torch.manual_seed(3)
    coarse = Shape(14, 11)
    layer = DepthwiseConv(4, k).double()
    x = torch.randn(1, coarse.count, 4, dtype=torch.float64)
    dense = layer(x, supports.whole(coarse, ratio=1.0 / step))
    index = np.stack(np.mgrid[: coarse.h, : coarse.w], -1).reshape(-1, 2) * step
    ones = np.ones(coarse.count, np.float32)
    draw = Draw(index.astype(np.int32), step**2 * ones, ones)
    sparse = scatter_support([draw], Shape(coarse.h * step, coarse.w * step), Layout(k, 4.0, "splat"))
    torch.testing.assert_close(dense, layer(x, sparse), rtol=1e-6, atol=1e-7)
