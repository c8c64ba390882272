"""The field is one function: the same bits by every route, in any company, on any number of threads."""

import math
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import ConfigError, RegionError, SamplingError
from infbrush_wsi.fields import NoiseField
from infbrush_wsi.fields import _noise_kernels as kernels
from infbrush_wsi.fields._threads import default_threads

FIELD = NoiseField(seed=11, channels=3)


def lattice_points(origin: tuple[float, float], spacing: float, shape: Shape) -> NDArray[np.float64]:
    ys = origin[0] + spacing * (np.arange(shape.h) + 0.5)
    xs = origin[1] + spacing * (np.arange(shape.w) + 0.5)
    return np.stack(np.meshgrid(ys, xs, indexing="ij"), axis=-1).reshape(-1, 2)


def by_definition(field: NoiseField, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum in the module's docstring, in plain numpy."""
    box = Box(math.floor(point[1] - field.reach) - 1, math.floor(point[0] - field.reach) - 1, 0, 0)
    side = math.ceil(2 * field.reach) + 4
    xi = field.white(Box(box.x0, box.y0, side, side)).astype(np.float64)
    dy = point[0] - (box.y0 + np.arange(side) + 0.5)
    dx = point[1] - (box.x0 + np.arange(side) + 0.5)
    w = np.exp(-(dy[:, None] ** 2 + dx[None, :] ** 2) / (2 * field.sigma**2))
    w[np.abs(dy) > field.reach, :] = 0
    w[:, np.abs(dx) > field.reach] = 0
    return np.asarray(field.scale * np.einsum("yx,yxc->c", w, xi) / np.sqrt((w**2).sum()))


@pytest.mark.parametrize("field", [FIELD, NoiseField(seed=1, channels=5, sigma=1.7, radius=3, std=1.0, stream=9)])
def test_values_follow_the_definition(field: NoiseField) -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-50, 50, (20, 2)), rng.integers(-50, 50, (20, 2)) + 0.5])
    values = field.at(points)
    assert values.dtype == np.float32
    for point, value in zip(points, values, strict=True):
        np.testing.assert_allclose(value, by_definition(field, point), rtol=0, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    reach=st.sampled_from([3.0, 40.0, 3000.0, 1e9]),
    cuts=st.lists(st.integers(0, 300), max_size=6),
    threads=st.sampled_from([1, 2, 5]),
)
def test_any_split_and_order_of_points_gives_the_same_bits(
    seed: int, reach: float, cuts: list[int], threads: int
) -> None:
    """Small spreads take the block of nodes, large ones the noise computed point by point."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-reach, reach, (300, 2))
    whole = FIELD.at(points)
    order = rng.permutation(300)
    parts = np.split(order, sorted(cuts))
    together = np.concatenate([FIELD.at(points[part], threads=threads) for part in parts])
    np.testing.assert_array_equal(together, whole[order])
    np.testing.assert_array_equal(FIELD.at(points[:1])[0], whole[0])


@settings(max_examples=40, deadline=None)
@given(
    y=st.floats(-1e4, 1e4),
    x=st.floats(-1e4, 1e4),
    spacing=st.sampled_from([0.1, 0.25, 0.7, 1.0, 2.0, 3.3, 16.0]),
    h=st.integers(1, 40),
    w=st.integers(1, 40),
)
def test_lattice_equals_points(y: float, x: float, spacing: float, h: int, w: int) -> None:
    lattice = FIELD.on_lattice((y, x), spacing, Shape(h, w))
    points = FIELD.at(lattice_points((y, x), spacing, Shape(h, w)))
    np.testing.assert_array_equal(lattice.reshape(-1, 3), points)


@pytest.mark.parametrize("spacing", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("sigma", [1.0, 1.9])
def test_routes_agree_to_the_last_bit_of_float64(spacing: float, sigma: float) -> None:
    """Rounding to float32 hides nearly every difference in the order of a sum: compare before it."""
    field, shape = NoiseField(seed=3, channels=5, sigma=sigma), Shape(60, 70)
    points = lattice_points((-3.1, 8.7), spacing, shape)
    ys, xs = points[:: shape.w, 0].copy(), points[: shape.w, 1].copy()
    box = field._nodes(ys, xs)
    block, setting = field.white(box), (field.reach, field.sigma, field.scale)
    streamed, gathered = np.empty((shape.count, 5)), np.empty((shape.count, 5))
    lattice = np.empty((*shape.as_tuple(), 5))
    kernels.points_streaming(points, field._key(), field.stream, *setting, streamed)
    kernels.points_from_block(points, block, box.y0, box.x0, *setting, gathered)
    kernels.lattice_from_block(ys, xs, block, box.y0, box.x0, *setting, lattice)
    np.testing.assert_array_equal(gathered, streamed)
    np.testing.assert_array_equal(lattice.reshape(-1, 5), streamed)
    np.testing.assert_array_equal(field.at(points), streamed.astype(np.float32))


@settings(max_examples=25, deadline=None)
@given(
    spacing=st.sampled_from([0.3, 0.5, 1.0, 2.0, 12.7]),
    first=st.tuples(st.integers(-400, 400), st.integers(-400, 400)),
    top=st.integers(0, 200),
    left=st.integers(0, 250),
    data=st.data(),
)
def test_windows_of_a_lattice_equal_the_whole(
    spacing: float, first: tuple[int, int], top: int, left: int, data: st.DataObject
) -> None:
    """The whole is larger than one internal tile in one direction, so tile edges are crossed."""
    shape = Shape(210, 270)
    whole = FIELD.on_lattice((0.3, -7.9), spacing, shape, first_yx=first)
    h, w = data.draw(st.integers(1, shape.h - top)), data.draw(st.integers(1, shape.w - left))
    start = (first[0] + top, first[1] + left)
    window = FIELD.on_lattice((0.3, -7.9), spacing, Shape(h, w), first_yx=start)
    np.testing.assert_array_equal(window, whole[top : top + h, left : left + w])


def test_finer_lattice_passes_through_the_coarser_one() -> None:
    """At a third of the spacing, every third centre is a centre of the coarse lattice: one function, two samplings."""
    coarse = FIELD.on_lattice((0.0, 0.0), 3.0, Shape(40, 40))
    fine = FIELD.on_lattice((0.0, 0.0), 1.0, Shape(120, 120))
    np.testing.assert_array_equal(fine[1::3, 1::3], coarse)


@pytest.mark.parametrize("threads", [1, 3])
def test_crowds_among_scattered_points_have_the_bits_of_points_alone(threads: int) -> None:
    rng = np.random.default_rng(3)
    corners = [(-40.0, 200.0), (9000.0, -7000.0), (9100.0, -7010.0)]
    crowds = [lattice_points(corner, 1.0, Shape(32, 32)) for corner in corners]
    points = np.concatenate([*crowds, rng.uniform(-9000, 9000, (1500, 2))])[rng.permutation(3 * 32 * 32 + 1500)]
    found, others = FIELD._crowds(points)
    assert 3 <= len(found) <= 12
    assert 1500 <= len(others) < 1700
    alone = np.concatenate([FIELD.at(point[None]) for point in points[::7]])
    np.testing.assert_array_equal(FIELD.at(points, threads=threads)[::7], alone)


@pytest.mark.parametrize("sigma", [1.0, 1.25, 1.3, 2.0])
@pytest.mark.parametrize("corner", [(0.0, 0.0), (-3.0, 1e9), (2e8, -17.0)])
def test_rows_of_nodes_have_the_bits_of_points_alone(sigma: float, corner: tuple[float, float]) -> None:
    """Runs of pixel centres of any length are summed together, also with other points in between."""
    field = NoiseField(seed=4, channels=5, sigma=sigma)
    nodes = lattice_points(corner, 1.0, Shape(6, 150))
    kept = np.random.default_rng(7).random(len(nodes)) < np.repeat([1.0, 1.0, 0.9, 0.6, 0.3, 0.1], 150)
    points = np.concatenate([nodes[kept], nodes[:90] + 0.25, nodes[:3], nodes[1:90:2] - (0.0, 0.5)])
    alone = np.concatenate([field.at(point[None]) for point in points])
    np.testing.assert_array_equal(field.at(points), alone)


@pytest.mark.parametrize("spread", [40.0, 5000.0])
def test_thread_count_changes_nothing(spread: float) -> None:
    points = np.random.default_rng(3).uniform(-spread, spread, (20_000, 2))
    lattice = Shape(300, 600)
    one = (
        FIELD.at(points, threads=1),
        FIELD.on_lattice((0, 0), 0.7, lattice, threads=1),
        FIELD.white(Box(0, 0, 99, 300)),
    )
    for threads in (2, 3, 8):
        np.testing.assert_array_equal(FIELD.at(points, threads=threads), one[0])
        np.testing.assert_array_equal(FIELD.on_lattice((0, 0), 0.7, lattice, threads=threads), one[1])
        np.testing.assert_array_equal(FIELD.white(Box(0, 0, 99, 300), threads=threads), one[2])


def test_default_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 7)
    assert default_threads() == 7
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(default_threads).result() == 1


def test_calls_from_many_threads_at_once() -> None:
    points = np.random.default_rng(4).uniform(-300, 300, (8, 5000, 2))
    expected = [FIELD.at(part, threads=1) for part in points]
    with ThreadPoolExecutor(8) as pool:
        for value, right in zip(pool.map(lambda part: FIELD.at(part, threads=2), points), expected, strict=True):
            np.testing.assert_array_equal(value, right)


def test_white_noise_is_one_lattice_over_negative_indices() -> None:
    whole = FIELD.white(Box(-70, -90, 200, 180))
    np.testing.assert_array_equal(FIELD.white(Box(-3, -5, 7, 9)), whole[85:94, 67:74])
    far = FIELD.white(Box(-(2**31) + 2**17, 0, 2, 2))
    assert np.isfinite(far).all()
    assert len(np.unique(whole)) > 0.999 * whole.size


def test_channels_do_not_depend_on_how_many_there_are() -> None:
    few, many = NoiseField(seed=5, channels=2), NoiseField(seed=5, channels=9)
    points = np.random.default_rng(5).uniform(-9, 9, (50, 2))
    np.testing.assert_array_equal(few.at(points), many.at(points)[:, :2])
    assert NoiseField(seed=5, channels=1).on_lattice((0, 0), 1.0, Shape(3, 4)).shape == (3, 4, 1)


def test_memory_does_not_grow_with_the_extent_of_the_points() -> None:
    points = np.random.default_rng(6).uniform(0, 1, (10_000, 2))
    peaks = []
    for extent in (4096.0, 1e6, 1e9):
        tracemalloc.start()
        FIELD.at(points * extent)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 1.1 * min(peaks)
    assert max(peaks) < 2_000_000


def test_a_field_is_a_value() -> None:
    assert pickle.loads(pickle.dumps(FIELD)) == FIELD == NoiseField(seed=11, channels=3)
    assert hash(FIELD) == hash(NoiseField(11, 3))
    assert NoiseField(seed=11, channels=3, stream=1) != FIELD
    assert NoiseField(seed=0, channels=1, sigma=2.0).scale == pytest.approx(1 / math.sqrt(16 * math.pi))
    assert NoiseField(seed=0, channels=1, std=2.5).scale == 2.5


def test_empty_requests() -> None:
    assert FIELD.at(np.empty((0, 2))).shape == (0, 3)
    assert FIELD.on_lattice((0, 0), 1.0, Shape(0, 5)).shape == (0, 5, 3)
    assert FIELD.white(Box(3, 4, 0, 2)).shape == (2, 0, 3)


@pytest.mark.parametrize(
    "bad",
    [
        {"seed": -1},
        {"seed": 2**64},
        {"seed": 1.5},
        {"stream": 2**32},
        {"channels": 0},
        {"sigma": 0.5},
        {"sigma": math.nan},
        {"radius": 1},
        {"std": 0.0},
        {"std": math.inf},
    ],
)
def test_bad_attributes(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        NoiseField(**{"seed": 1, "channels": 3, **bad})  # type: ignore[arg-type]


def test_bad_requests() -> None:
    with pytest.raises(SamplingError, match=r"\(N, 2\)"):
        FIELD.at(np.zeros((4, 3)))
    for wrong in (math.nan, math.inf, 2.0**31):
        with pytest.raises(SamplingError, match="not finite or is beyond"):
            FIELD.at(np.array([[0.0, 1.0], [0.0, wrong]]))
    for spacing in (0.0, -1.0, math.nan):
        with pytest.raises(RegionError, match="spacing must be positive"):
            FIELD.on_lattice((0, 0), spacing, Shape(2, 2))
    with pytest.raises(RegionError, match="beyond"):
        FIELD.on_lattice((math.nan, 0), 1.0, Shape(2, 2))
    with pytest.raises(RegionError, match="negative size"):
        FIELD.white(Box(0, 0, -1, 2))
    with pytest.raises(ConfigError, match="threads"):
        FIELD.at(np.zeros((1, 2)), threads=0)
