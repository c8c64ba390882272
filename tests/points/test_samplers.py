"""What every coordinate sampler promises: distinct sorted points, reproducible draws, honest areas, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError, SamplingError
from infbrush_wsi.points.samplers import MixedSampler, TissueSampler, make_sampler

NAMES = ("mixed", "uniform", "halton", "stratified", "tissue")


def tissue(h: int = 6, w: int = 5) -> np.ndarray:
    density = np.random.default_rng(3).random((h, w))
    density[0] = 0.0
    return density


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(h=st.integers(1, 40), w=st.integers(1, 40), share=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_exactly_n_distinct_sorted_points_inside(name: str, h: int, w: int, share: float, seed: int) -> None:
    shape = Shape(h, w)
    points = max(1, round(share * shape.count))
    draw = make_sampler(name).draw(np.random.default_rng(seed), shape, points, tissue())
    flat = draw.index_yx[:, 0].astype(int) * w + draw.index_yx[:, 1]
    assert draw.count == points
    assert (np.diff(flat) > 0).all()
    assert (draw.index_yx >= 0).all()
    assert (draw.index_yx < [h, w]).all()
    assert draw.index_yx.dtype == np.int32
    assert draw.area.dtype == draw.weight.dtype == np.float32
    assert draw.area.shape == draw.weight.shape == (points,)
    assert (draw.area > 0).all()
    assert (draw.weight > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_equal_generators_give_equal_draws_and_others_do_not(name: str) -> None:
    shape, sampler = Shape(61, 47), make_sampler(name)
    a, b, c = (sampler.draw(np.random.default_rng(seed), shape, 500, tissue()) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.index_yx, b.index_yx)
    np.testing.assert_array_equal(a.area, b.area)
    np.testing.assert_array_equal(a.weight, b.weight)
    assert not np.array_equal(a.index_yx, c.index_yx)


@pytest.mark.parametrize("name", NAMES)
def test_all_pixels_can_be_asked_for(name: str) -> None:
    draw = make_sampler(name).draw(np.random.default_rng(0), Shape(9, 7), 63, tissue())
    assert draw.count == 63
    np.testing.assert_allclose(draw.area, 1.0, rtol=1e-6)
    np.testing.assert_allclose(draw.weight, 1.0, rtol=1e-6)


@pytest.mark.parametrize(("h", "w", "points"), [(100, 1, 1), (1, 100, 3), (200, 2, 5), (1, 1, 1)])
def test_strata_of_a_narrow_lattice(h: int, w: int, points: int) -> None:
    assert make_sampler("stratified").draw(np.random.default_rng(0), Shape(h, w), points).count == points


@pytest.mark.parametrize("name", ["mixed", "uniform", "halton", "stratified"])
def test_areas_of_a_draw_sum_to_the_pixel_count(name: str) -> None:
    shape = Shape(100, 130)
    for seed in range(5):
        draw = make_sampler(name).draw(np.random.default_rng(seed), shape, 3000)
        assert draw.area.sum(dtype=np.float64) == pytest.approx(shape.count, rel=1e-5)


def test_tissue_areas_sum_to_the_pixel_count_on_average() -> None:
    shape, sampler = Shape(60, 50), TissueSampler()
    sums = [sampler.draw(np.random.default_rng(s), shape, 400, tissue()).area.sum() for s in range(300)]
    assert np.mean(sums) == pytest.approx(shape.count, abs=4 * np.std(sums) / np.sqrt(len(sums)))


def test_mixed_draw_has_full_windows_beside_thin_points() -> None:
    shape, side = Shape(512, 512), 16
    draw = MixedSampler(share=0.5, window=side).draw(np.random.default_rng(0), shape, 4096)
    dense = draw.area == 1.0
    assert np.count_nonzero(dense) == 2048  # 8 windows, the lattice is a multiple of their side
    taken = np.zeros(shape.as_tuple(), bool)
    taken[tuple(draw.index_yx[dense].T)] = True
    # An interior pixel of a window has all 49 pixels of its 7 x 7 neighbourhood.
    full = sum(np.roll(taken, (a, b), (0, 1)).astype(int) for a in range(-3, 4) for b in range(-3, 4))
    assert np.count_nonzero((full == 49) & taken) >= 8 * (side - 6) ** 2
    assert np.unique(draw.area[~dense]).size == 1
    assert draw.area[~dense][0] == pytest.approx((512 * 512 - 2048) / 2048, rel=1e-6)


@pytest.mark.parametrize(("share", "dense"), [(0.0, 0), (1.0, 4096)])
def test_share_of_the_dense_windows(share: float, dense: int) -> None:
    draw = MixedSampler(share=share, window=32).draw(np.random.default_rng(0), Shape(256, 256), 4096)
    assert np.count_nonzero(draw.area == 1.0) == dense


def test_windows_larger_than_the_lattice_leave_uniform_points() -> None:
    draw = MixedSampler(window=64).draw(np.random.default_rng(0), Shape(20, 30), 300)
    np.testing.assert_allclose(draw.area, 2.0)


def test_tissue_density_is_respected() -> None:
    shape = Shape(64, 64)
    density = np.array([[1.0, 3.0], [0.0, 3.0]])
    counts = np.zeros((2, 2))
    for seed in range(100):
        index = TissueSampler(floor=0.1).draw(np.random.default_rng(seed), shape, 256, density).index_yx // 32
        np.add.at(counts, tuple(index.T), 1)
    # Relative densities with the floor: 1, 3, 0.3, 3.
    np.testing.assert_allclose(counts / counts.sum(), np.array([[1, 3], [0.3, 3]]) / 7.3, atol=0.006)


def test_tissue_without_floor_leaves_background_out() -> None:
    shape, density = Shape(40, 40), np.array([[0.0, 2.0], [5.0, 0.0]])
    draw = TissueSampler(floor=0.0).draw(np.random.default_rng(0), shape, 700, density)
    assert set(map(tuple, draw.index_yx // 20)) == {(0, 1), (1, 0)}


def test_tissue_without_floor_can_be_filled_to_the_last_pixel() -> None:
    shape, density = Shape(40, 40), np.array([[0.0, 2.0], [5.0, 0.0]])
    draw = TissueSampler(floor=0.0).draw(np.random.default_rng(0), shape, 800, density)
    assert draw.count == 800
    np.testing.assert_allclose(draw.area, 1.0)


def test_tissue_without_a_mask_is_uniform() -> None:
    shape = Shape(30, 40)
    a = TissueSampler().draw(np.random.default_rng(5), shape, 77)
    b = make_sampler("uniform").draw(np.random.default_rng(5), shape, 77)
    np.testing.assert_array_equal(a.index_yx, b.index_yx)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("points", [0, -1, 101])
def test_impossible_budget_is_refused(name: str, points: int) -> None:
    with pytest.raises(SamplingError, match=rf"{points} distinct points from 10 x 10"):
        make_sampler(name).draw(np.random.default_rng(0), Shape(10, 10), points, tissue())


@pytest.mark.parametrize("density", [np.zeros((3, 3)), -np.ones((2, 2)), np.full((2, 2), np.nan), np.ones(4)])
def test_senseless_density_is_refused(density: np.ndarray) -> None:
    with pytest.raises(SamplingError, match="tissue density"):
        TissueSampler().draw(np.random.default_rng(0), Shape(10, 10), 5, density)


def test_more_points_than_tissue_is_refused() -> None:
    with pytest.raises(SamplingError, match="tissue covers 50 pixels only"):
        TissueSampler(floor=0.0).draw(np.random.default_rng(0), Shape(10, 10), 51, np.array([[0.0, 1.0]]))


def test_unknown_sampler_and_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="choose one of mixed, uniform"):
        make_sampler("sobol")
    with pytest.raises(ConfigError, match=r"'halton'.*share"):
        make_sampler("halton", share=0.5)
    with pytest.raises(ConfigError, match="0 <= share <= 1"):
        make_sampler("mixed", share=1.5)
    for window in (0, 8.0):
        with pytest.raises(ConfigError, match="whole window >= 1"):
            make_sampler("mixed", window=window)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), zeros=st.floats(0, 0.9), points=st.integers(1, 400))
def test_tissue_counts_are_exact_for_any_density(seed: int, zeros: float, points: int) -> None:
    rng = np.random.default_rng(seed)
    density = rng.exponential(size=(20, 20)) ** 3 * (rng.random((20, 20)) >= zeros)
    assume(np.count_nonzero(density) >= points)
    draw = TissueSampler(floor=0.0).draw(rng, Shape(20, 20), points, density)
    assert draw.count == len(np.unique(draw.index_yx, axis=0)) == points
    assert (density[tuple(draw.index_yx.T)] > 0).all()
