"""The Triton kernels against float64, in Triton's interpreter or on a GPU. Run by `test_triton_kernels`.

The name keeps pytest from collecting this among the other tests: TRITON_INTERPRET must be set before triton is
imported, so these need a process of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch import Tensor

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators import row_segments
from infbrush_wsi.operators.sparse_conv import tap_segments
from infbrush_wsi.operators.sparse_conv.reference import sparse_depthwise_reference
from infbrush_wsi.operators.sparse_conv.triton_kernel import convolve, weight_gradient
from infbrush_wsi.operators.sparse_product_triton import multiply
from infbrush_wsi.operators.triton_support import available
from infbrush_wsi.points.neighbours import build_neighbours
from infbrush_wsi.points.support import Neighbours

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"

TOLERANCES = {  # of one rounding of the result, but for the sums of up to 169 products in float32
    torch.float64: {"rtol": 1e-12, "atol": 1e-12},
    torch.float32: {"rtol": 2e-5, "atol": 2e-5},
    torch.float16: {"rtol": 2e-3, "atol": 2e-3},
    torch.bfloat16: {"rtol": 1e-2, "atol": 1e-2},
}


@pytest.fixture(autouse=True)
def indices_of_one_element(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Triton 3.6's interpreter takes ``int()`` of arrays of one element, which NumPy 2.4 refuses (triton#9171)."""
    if not INTERPRETED:
        yield
        return
    from triton.runtime import interpreter

    original = interpreter._patch_lang_tensor

    def patch(tensor: Any, scope: Any) -> None:
        original(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patch)
    yield


def neighbours_of(coords: Any, k: int) -> Neighbours:
    found = build_neighbours(np.asarray(coords, np.int32).reshape(-1, 2), k)
    return Neighbours(*(torch.from_numpy(a) for a in (found.indptr, found.indices, found.taps)), k).to(DEVICE)


def scattered(points: int, shape: Shape, k: int, seed: int = 0) -> Neighbours:
    flat = np.sort(np.random.default_rng(seed).choice(shape.count, points, replace=False))
    return neighbours_of(np.stack(np.divmod(flat, shape.w), 1), k)


def check(neighbours: Neighbours, channels: int, dtype: torch.dtype, weight_dtype: torch.dtype | None = None) -> None:
    """Values and both gradients of the kernels against those of the reference in float64, from the same numbers."""
    points, k = len(neighbours.indptr) - 1, neighbours.kernel_size
    torch.manual_seed(points)
    x, upstream = (torch.randn(points, channels).to(DEVICE, dtype) for _ in range(2))
    weight = torch.randn(k * k, channels).to(DEVICE, weight_dtype or dtype)
    x64, weight64 = x.double().requires_grad_(), weight.double().requires_grad_()
    expected = sparse_depthwise_reference(x64, weight64, neighbours)
    dx, dw = torch.autograd.grad(expected, (x64, weight64), upstream.double())
    pairs = (neighbours.indptr, neighbours.indices, neighbours.taps)
    close = TOLERANCES[dtype]
    for found, wanted in (
        (convolve(x, weight, *pairs, False), expected.detach()),
        (convolve(upstream, weight, *pairs, True), dx),
    ):
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), wanted, **close)
    sums = torch.float64 if dtype == torch.float64 else torch.float32
    for deterministic in (True, False):
        gradient = weight_gradient(x, upstream, *pairs, k * k, deterministic)
        assert (gradient.dtype, gradient.shape) == (sums, weight.shape)
        torch.testing.assert_close(gradient.double(), dw, **TOLERANCES[sums])  # sums are not rounded to float16


@pytest.mark.parametrize(
    ("points", "channels", "k", "dtype"),
    [
        (60, 1, 3, torch.float32),
        (40, 33, 7, torch.float32),
        (50, 64, 7, torch.bfloat16),
        (20, 33, 13, torch.float16),
        (15, 5, 13, torch.float64),
        (30, 64, 1, torch.float32),
        (33, 70, 3, torch.bfloat16),
    ],
)
def test_convolution_and_gradients(points: int, channels: int, k: int, dtype: torch.dtype) -> None:
    check(scattered(points, Shape(11, 13), k), channels, dtype)


def test_weights_may_be_more_precise_than_values() -> None:
    check(scattered(40, Shape(9, 9), 5), 6, torch.bfloat16, torch.float32)


@settings(max_examples=8, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    share=st.floats(0, 1),
    k=st.sampled_from([1, 3, 7]),
    channels=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_any_set_of_points(size: tuple[int, int], share: float, k: int, channels: int, seed: int) -> None:
    shape = Shape(*size)
    check(scattered(round(share * shape.count), shape, k, seed), channels, torch.float64)


@pytest.mark.parametrize("coords", [[], [[0, 0]], [[0, 0], [0, 11], [9, 0], [9, 11]], [[0, y] for y in range(12)]])
def test_no_point_one_point_and_borders(coords: list[list[int]]) -> None:
    check(neighbours_of(coords, 7), 3, torch.float64)


def test_no_channels() -> None:
    n = scattered(5, Shape(4, 4), 3)
    pairs = (n.indptr, n.indices, n.taps)
    x, weight = torch.empty(5, 0, device=DEVICE), torch.empty(9, 0, device=DEVICE)
    assert convolve(x, weight, *pairs, False).shape == (5, 0)
    assert weight_gradient(x, x, *pairs, 9).shape == (9, 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_density_and_residual(dtype: torch.dtype) -> None:
    n = scattered(40, Shape(9, 8), 5)
    pairs = (n.indptr, n.indices, n.taps)
    x, residual = torch.randn(2, 40, 7, device=DEVICE).to(dtype).unbind()
    weight = torch.randn(25, 7, device=DEVICE).to(dtype)
    sums = sparse_depthwise_reference(x.double(), weight.double(), n)
    share = 25.0 / n.indptr.diff().double()[:, None]
    for rest, full, expected in (
        (residual, 25.0, residual.double() + share * sums),
        (residual, 0.0, residual.double() + sums),
        (None, 25.0, share * sums),
    ):
        found = convolve(x, weight, *pairs, False, rest, full)
        torch.testing.assert_close(found.double(), expected, **TOLERANCES[dtype])
    nothing = [torch.empty(0, dtype=p.dtype, device=DEVICE) for p in pairs[1:]]
    empty = convolve(x, weight, torch.zeros_like(n.indptr), *nothing, False, residual, 25.0)
    assert torch.equal(empty, residual)


def test_non_contiguous_arrays() -> None:
    n = scattered(20, Shape(6, 6), 3)
    pairs = (n.indptr, n.indices, n.taps)
    x, weight = torch.randn(4, 20, device=DEVICE).T, torch.randn(4, 9, device=DEVICE).T
    assert torch.equal(convolve(x, weight, *pairs, False), convolve(x.clone(), weight.contiguous(), *pairs, False))
    torch.testing.assert_close(convolve(x, weight, *pairs, False), sparse_depthwise_reference(x, weight, n))


def test_weight_gradient_of_long_taps_is_the_same_bits_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many segments a tap; the second time from a neighbour map made anew, so that nothing is remembered."""
    monkeypatch.setattr(tap_segments, "_SHORTEST", 4)
    x, upstream = torch.randn(2, 120, 9, device=DEVICE).unbind()
    found = []
    for _ in range(2):
        n = scattered(120, Shape(12, 12), 5)
        found.append(weight_gradient(x, upstream, n.indptr, n.indices, n.taps, 25))
    assert torch.equal(*found)
    weight = torch.zeros(25, 9, device=DEVICE, requires_grad=True)
    (expected,) = torch.autograd.grad(sparse_depthwise_reference(x, weight, n), weight, upstream)
    torch.testing.assert_close(found[0], expected, rtol=1e-5, atol=1e-5)


def test_segments_hold_every_pair_of_their_tap_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_segments, "_SHORTEST", 8)
    n = scattered(100, Shape(12, 12), 3)
    s = tap_segments.tap_segments(n.taps, n.indptr, n.indices, 9)
    rows = torch.repeat_interleave(torch.arange(100, device=DEVICE), n.indptr.diff())
    seen = []
    for start, stop, tap in zip(s.starts.tolist(), s.stops.tolist(), s.taps.tolist(), strict=True):
        assert 0 <= start <= stop <= min(start + 8, len(n.taps))
        seen += [(tap, int(s.rows[p]), int(s.sources[p])) for p in range(start, stop)]
    pairs = zip(n.taps.tolist(), rows.tolist(), n.indices.tolist(), strict=True)
    assert seen == sorted(pairs, key=lambda pair: pair[:2])


def test_sorting_is_done_once_for_a_neighbour_map_and_again_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    sorts = []
    sort = torch.sort
    monkeypatch.setattr(torch, "sort", lambda *a, **k: sorts.append(1) or sort(*a, **k))
    n = scattered(30, Shape(8, 8), 3)
    x = torch.randn(30, 2, dtype=torch.float64, device=DEVICE)
    first = weight_gradient(x, x, n.indptr, n.indices, n.taps, 9)
    weight_gradient(x, x, n.indptr, n.indices, n.taps, 9)
    assert len(sorts) == 1
    n.taps.copy_(8 - n.taps)
    torch.testing.assert_close(weight_gradient(x, x, n.indptr, n.indices, n.taps, 9), first.flip(0))
    assert len(sorts) == 2


def csr(lengths: list[int], columns: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    indices = rng.integers(0, columns, indptr[-1])
    data = rng.standard_normal(indptr[-1]).astype(np.float32)
    return sparse.csr_array((data, indices, indptr), (len(lengths), columns))


def product(m: Any, x: Tensor) -> Tensor:
    """By the kernel, back on the CPU."""
    parts = (m.indptr.astype(np.int64), m.indices.astype(np.int32), m.data)
    return multiply(*(torch.from_numpy(p).to(DEVICE) for p in parts), x.to(DEVICE)).cpu()


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(
    ("lengths", "channels"),
    [([4] * 40, 33), ([0, 3, 0, 700, 128, 129, 0, 1, 256, 257, 0], 5), ([0, 0], 2), ([1], 1), ([900], 64)],
)
def test_product_of_even_and_uneven_rows(lengths: list[int], channels: int, dtype: torch.dtype) -> None:
    m = csr(lengths, 50)
    x = torch.randn(50, channels, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = product(m, x)
    sums = torch.float64 if dtype == torch.float64 else torch.float32
    assert found.dtype == sums
    torch.testing.assert_close(found.double(), torch.from_numpy(m @ x.double().numpy()), **TOLERANCES[sums])


@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(0, 30), max_size=20), channels=st.integers(1, 40), longest=st.integers(1, 12))
def test_product_of_any_rows(lengths: list[int], channels: int, longest: int) -> None:
    from infbrush_wsi.operators import sparse_product_triton

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_segments, "LONGEST", longest)
        patch.setattr(sparse_product_triton, "LONGEST", longest)
        m = csr(lengths, 7)
        x = torch.randn(7, channels, dtype=torch.float64)
        torch.testing.assert_close(product(m, x), torch.from_numpy(m @ x.numpy()), rtol=1e-12, atol=1e-12)


def test_segments_hold_what_rows_hold_beyond_their_start() -> None:
    lengths = [0, 300, 128, 129, 5, 513]
    indptr = torch.tensor([0, *np.cumsum(lengths)])
    s = row_segments.row_segments(indptr, sum(lengths))
    assert int(s.stops.max()) <= sum(lengths)
    assert s.bounds.diff().tolist() == [0, 2, 0, 1, 0, 4]
    covered = [p for a, b in zip(s.starts.tolist(), s.stops.tolist(), strict=True) for p in range(a, b)]
    starts = indptr[:-1].tolist()
    assert covered == [p for a, n in zip(starts, lengths, strict=True) for p in range(a + 128, a + n)]


def test_arrays_that_do_not_fit_are_refused() -> None:
    n = scattered(10, Shape(6, 6), 3)
    pairs = (n.indptr, n.indices, n.taps)

    def values(*shape: int) -> Tensor:
        return torch.randn(shape, device=DEVICE)

    with pytest.raises(ConfigError, match="do not fit each other"):
        convolve(values(11, 2), values(9, 2), *pairs, False)
    with pytest.raises(ConfigError, match="do not fit each other"):
        convolve(values(10, 2), values(9, 3), *pairs, False)
    with pytest.raises(ConfigError, match="do not fit each other"):
        weight_gradient(values(10, 2), values(10, 3), *pairs, 9)
    with pytest.raises(ConfigError, match="no sparse matrix"):
        multiply(n.indptr, n.indices, values(3), values(10, 2))
    with pytest.raises(ConfigError, match="move both"):
        convolve(values(10, 2), values(9, 2), *(p.to("meta") for p in pairs), False)


def test_availability_names_what_runs_the_kernels() -> None:
    usable, reason = available(torch.device(DEVICE))
    assert usable
    assert ("TRITON_INTERPRET" if INTERPRETED else torch.cuda.get_device_name()) in reason


@pytest.mark.skipif(INTERPRETED, reason="too many points for the interpreter")
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("points", "shape", "k"), [(65536, Shape(1024, 1024), 7), (65536, Shape(256, 256), 7)])
def test_a_training_step_worth_of_points(points: int, shape: Shape, k: int, dtype: torch.dtype) -> None:
    neighbours = scattered(points, shape, k)
    check(neighbours, 64, dtype)
    x = torch.randn(points, 64, device=DEVICE).to(dtype)
    pairs = (neighbours.indptr, neighbours.indices, neighbours.taps)
    weight = torch.randn(k * k, 64, device=DEVICE).to(dtype)
    assert torch.equal(convolve(x, weight, *pairs, False), convolve(x, weight, *pairs, False))
    assert torch.equal(weight_gradient(x, x, *pairs, k * k), weight_gradient(x, x, *pairs, k * k))
