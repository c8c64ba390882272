"""Dask, xarray and other processes see the pixels of `read_region`, and nothing is computed before they look."""

import multiprocessing
from dataclasses import replace

import dask
import numpy as np
import pytest
from affine import Affine

from infbrush_wsi.canvas import Canvas
from infbrush_wsi.domain import Lattice, Shape


@pytest.fixture(scope="module")
def whole(canvas):
    return [canvas.read_region((0, 0), k, (w, h)) for k, (h, w) in enumerate(canvas.level_shapes)]


def test_nothing_is_rendered_until_pixels_are_asked_for(make_canvas):
    canvas = make_canvas()
    lazy = [canvas.to_dask(2), canvas.to_xarray(1), canvas.to_datatree(), canvas.level_array(0)]
    later = lazy[0][:, 10:20].astype(float).mean()
    assert not canvas.rendered
    assert not list(canvas._folder.iterdir())
    later.compute()
    assert canvas.rendered


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_dask_computes_what_read_region_reads(canvas, whole, level, scheduler):
    array = canvas.to_dask(level)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array.compute(scheduler=scheduler), whole[level])
    np.testing.assert_array_equal(array[3:, 30:140:7, 1].compute(scheduler=scheduler), whole[level][3:, 30:140:7, 1])


def test_threads_that_race_for_a_canvas_render_it_once(make_canvas, whole):
    canvas = make_canvas()
    engines = []
    make = canvas.reader._engine
    canvas.reader._engine = lambda folder: engines.append(folder) or make(folder)
    lazy = [canvas.to_dask(level) for level in range(3)]
    for image, expected in zip(dask.compute(*lazy, scheduler="threads", num_workers=4), whole, strict=True):
        np.testing.assert_array_equal(image, expected)
    assert len(engines) == 1


def test_chunks_have_a_side_of_512_or_of_what_is_asked_for(canvas, whole):
    assert canvas.to_dask(0).chunks == ((41,), (512, 101), (3,))
    assert canvas.to_dask(2).chunks == ((11,), (154,), (3,))
    assert canvas.level_array(1).chunks == (21, 307, 3)
    small = canvas.to_dask(1, chunk=13)
    assert small.chunks[:2] == ((13, 8), (13,) * 23 + (8,))
    np.testing.assert_array_equal(small.compute(scheduler="synchronous"), whole[1])


def test_equal_canvases_have_equal_names_and_others_have_others(make_canvas, make_pipeline):
    assert make_canvas().token == make_canvas().token
    assert make_canvas().to_dask(1).name == make_canvas().to_dask(1).name
    changes = [
        {},
        {"seed": 4},
        {"condition": "Normal"},
        {"condition": None},
        {"guidance_scale": 1.5},
        {"num_inference_steps": 3},
        {"scheduler": "ddim"},
        {"scheduler": "ddim", "eta": 0.5},
        {"precision": "bfloat16"},
        {"mpp": 0.4},
        {"size": (613, 42)},
    ]
    canvases = [make_canvas(**change) for change in changes]
    canvases.append(make_pipeline(seed=1)("Invasive", (613, 41), seed=3, num_inference_steps=2, tile=128))
    canvases.append(make_pipeline(info={"sigma": 1.5})("Invasive", (613, 41), seed=3, num_inference_steps=2, tile=128))
    names = {lazy.name for canvas in canvases for lazy in (canvas.to_dask(0), canvas.to_dask(1))}
    assert len(names) == 2 * len(canvases)


def test_another_process_reads_the_same_pixels(canvas, whole):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map(np.asarray, [canvas.level_array(level) for level in range(3)])
    for image, expected in zip(found, whole, strict=True):
        np.testing.assert_array_equal(image, expected)


def test_a_level_outlives_its_canvas(make_canvas, whole):
    lazy = make_canvas().to_dask(2)
    np.testing.assert_array_equal(lazy.compute(), whole[2])


def test_a_level_is_an_array_to_numpy(canvas, whole):
    array = canvas.level_array(1)
    assert (array.shape, array.ndim, array.dtype) == ((21, 307, 3), 3, np.uint8)
    np.testing.assert_array_equal(np.asarray(array, float), whole[1].astype(float))
    np.testing.assert_array_equal(array[2:5, ..., 0], whole[1][2:5, ..., 0])


@pytest.mark.parametrize("level", [0, 2])
def test_xarray_has_the_centres_of_pixels_in_micrometres(canvas, whole, level):
    image = canvas.to_xarray(level)
    assert image.dims == ("y", "x", "band")
    pitch = 0.5 * 2**level
    np.testing.assert_allclose(image.x, (np.arange(image.sizes["x"]) + 0.5) * pitch)
    np.testing.assert_allclose(image.y, (np.arange(image.sizes["y"]) + 0.5) * pitch)
    assert image.x.attrs["units"] == image.y.attrs["units"] == "micrometer"
    assert list(image.band.values) == ["Red", "Green", "Blue"]
    assert image.attrs["mpp"] == pytest.approx(pitch)
    assert image.attrs["provenance"]["seed"] == 3
    assert "crs" not in image.attrs
    np.testing.assert_array_equal(image.values, whole[level])


def test_xarray_of_a_raster_has_its_crs_and_coordinates(raster):
    image = raster.to_xarray(1)
    np.testing.assert_allclose(image.x, 500_000 + 2.0 * (np.arange(150) + 0.5))
    np.testing.assert_allclose(image.y, 4_420_000 - 2.0 * (np.arange(20) + 0.5))
    assert image.x.attrs["units"] == "meter"
    assert image.attrs["crs"] == "EPSG:26914"
    assert image.sel(band="NIR").shape == (20, 150)


def test_a_rotated_lattice_keeps_pixel_coordinates_and_tells_its_transform(canvas):
    turned = Affine.rotation(30) @ Affine.scale(0.5)
    spec = replace(canvas.spec, lattice=Lattice(Shape(41, 613), turned))
    image = Canvas(spec, lambda folder: canvas.reader, sigma_px=1.0, channel_names=canvas.channel_names).to_xarray(1)
    np.testing.assert_allclose(image.x, np.arange(307) + 0.5)
    assert image.x.attrs["units"] == "pixel"
    assert image.attrs["transform"] == pytest.approx(tuple(turned @ Affine.scale(2))[:6])


def test_the_datatree_holds_every_level(canvas, whole):
    tree = canvas.to_datatree()
    assert list(tree.children) == ["scale0", "scale1", "scale2"]
    for level, expected in enumerate(whole):
        np.testing.assert_array_equal(tree[f"scale{level}/image"].values, expected)
        assert tree[f"scale{level}/image"].attrs["mpp"] == pytest.approx(0.5 * 2**level)
