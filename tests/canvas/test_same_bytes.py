"""A pixel of a lazy canvas has the same bytes however, whenever and wherever it is read."""

import multiprocessing
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infbrush_wsi.canvas.lazy import CacheLimits
from infbrush_wsi.conditioning.layout import PolygonLayout, RasterLayout

CALL = {"condition": "Invasive", "size": (261, 37), "seed": 3, "num_inference_steps": 2, "tile": 32}
FRAMES = {"frame": 64}
LIMITS = {
    "default": None,
    "on disk": CacheLimits(memory=60_000, disk=1 << 20),
    "little disk": CacheLimits(memory=60_000, disk=60_000),
    "computed again": CacheLimits(memory=60_000, disk=0),
}


def square(x0, y0, x1, y1):
    return [np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]], float)]


@lru_cache
def polygons():
    return PolygonLayout([square(20, -5, 70, 12), square(60, 5, 140, 30)], [1, 2], [None, "Normal", "Invasive"], 4.0)


@lru_cache
def raster():
    values = np.random.default_rng(0).integers(0, 2, (3, 17))
    return RasterLayout(values, {1: "Invasive"}, 8.0, background="Normal")


CASES = {
    "one frame": dict,
    "guided": lambda: {"guidance_scale": 1.5, "scheduler": "ddim", "eta": 0.5},
    "frames": lambda: FRAMES,
    "frames without a coarser stage": lambda: FRAMES | {"coarse": False, "seed": 9},
    "polygons in frames": lambda: FRAMES | {"condition": polygons(), "guidance_scale": 1.5},
    "raster in one frame": lambda: {"condition": raster()},
}


@pytest.fixture(scope="module")
def make(make_pipeline):
    pipeline = make_pipeline()
    return lambda case, limits="default": pipeline(**CALL | CASES[case]() | {"limits": LIMITS[limits]})


@pytest.fixture(scope="module")
def wholes(make):
    """Every level of every case, each read at once from a canvas of its own."""
    found = {}
    for case in CASES:
        shapes = make(case).level_shapes
        assert len(shapes) == 2
        found[case] = [make(case).read_region((0, 0), k, (w, h)) for k, (h, w) in enumerate(shapes)]
        assert all(level.std() > 5 for level in found[case])
    return found


@pytest.fixture(scope="module")
def kept(make):
    """One canvas for each case and limit, whose caches grow and shrink from example to example."""
    return lru_cache(maxsize=None)(make)


def spans(length):
    return st.tuples(st.integers(0, length - 1), st.integers(1, length)).map(lambda s: (s[0], min(s[1], length - s[0])))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(case=st.sampled_from(list(CASES)), limits=st.sampled_from(list(LIMITS)), level=st.integers(0, 1), data=st.data())
def test_windows_in_any_order_under_any_limits(kept, wholes, case, limits, level, data):
    canvas, whole = kept(case, limits), wholes[case][level]
    (y, h), (x, w) = data.draw(spans(whole.shape[0])), data.draw(spans(whole.shape[1]))
    found = canvas.read_region((x * 2**level, y * 2**level), level, (w, h))
    np.testing.assert_array_equal(found, whole[y : y + h, x : x + w])


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(
    case=st.sampled_from(list(CASES)),
    limits=st.sampled_from(list(LIMITS)),
    level=st.integers(0, 1),
    chunks=st.tuples(st.integers(5, 40), st.integers(11, 261)),
    threads=st.sampled_from([1, 2, 4]),
    torch_threads=st.sampled_from([1, 3]),
    start=st.tuples(st.integers(0, 9), st.integers(0, 60)),
)
def test_chunks_of_dask_on_any_number_of_threads_of_a_fresh_canvas(
    make, wholes, case, limits, level, chunks, threads, torch_threads, start
):
    array, (y, x) = make(case, limits).to_dask(level), start
    part = array.rechunk((*chunks, 3))[y:, x:]
    before = torch.get_num_threads()
    torch.set_num_threads(torch_threads)
    try:
        found = part.compute(scheduler="threads", num_workers=threads)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found, wholes[case][level][y:, x:])


@pytest.mark.parametrize("chunks", [(1, 1), (7, 13)])
@pytest.mark.parametrize("case", ["one frame", "polygons in frames"])
def test_chunks_of_single_pixels(kept, wholes, case, chunks):
    array = kept(case).to_dask(1, chunk=512)
    corner = np.s_[3:15, 40:61]
    found = array.rechunk((*chunks, 3))[corner].compute(scheduler="threads", num_workers=2)
    np.testing.assert_array_equal(found, wholes[case][1][corner])


@pytest.mark.parametrize("first", [0, 1])
def test_levels_in_any_order(make, wholes, first):
    for case in ("one frame", "frames"):
        canvas = make(case)
        for level in (first, 1 - first):
            np.testing.assert_array_equal(np.asarray(canvas.level_array(level)), wholes[case][level])


def read_elsewhere(part):
    """What another process does, which has two torch threads."""
    array, window = part
    torch.set_num_threads(2)
    return array[window]


def test_another_process(make, wholes):
    cases, window = ("guided", "polygons in frames"), np.s_[5:, 30:100]
    canvases = [make(case) for case in cases]
    parts = [(canvas.level_array(level), window) for canvas in canvases for level in (1, 0)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map(read_elsewhere, parts)
    expected = [wholes[case][level][window] for case in cases for level in (1, 0)]
    for image, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(image, right)


def test_a_plan_from_a_file(make, wholes, tmp_path):
    for case in ("guided", "polygons in frames"):
        path = make(case).save_plan(tmp_path / "a.plan.safetensors")
        canvas = make(case).load_plan(path)
        np.testing.assert_array_equal(np.asarray(canvas.level_array(0)), wholes[case][0])


def test_the_cases_are_different_images(wholes):
    images = [levels[0].astype(int) for levels in wholes.values()]
    for i, one in enumerate(images):
        assert all(np.abs(one - other).mean() > 0.2 for other in images[:i])
