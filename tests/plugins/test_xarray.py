"""xarray and rioxarray see pixels, coordinates, units and CRS as they were rendered, and read no more than is asked."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from PIL import Image

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import ConfigError, RegionError, SourceNotFoundError
from infbrush_wsi.plugins.xarray import canvas_dataset, canvas_datatree
from infbrush_wsi.sources import ArraySource, Source

FORMS = [("0.4", "flat"), ("0.5", "flat"), ("0.5", "nested")]


@pytest.fixture
def asked(monkeypatch):
    """Windows that are read of sources, as (level, box)."""
    boxes = []
    read_box = Source.read_box

    def note(self, box, level=0):
        boxes.append((level, box))
        return read_box(self, box, level)

    monkeypatch.setattr(Source, "read_box", note)
    return boxes


def test_xarray_finds_the_engine_by_its_entry_point():
    assert type(xr.backends.list_engines()["infbrush"]).__name__ == "InfbrushBackend"


def test_listing_the_engines_imports_nothing_heavy():
    code = """
import sys, xarray
import infbrush_wsi.plugins.xarray.backend
print(*[name for name in ("torch", "zarr", "dask", "openslide", "scipy.ndimage") if name in sys.modules])
"""
    plain = code.replace("import infbrush_wsi.plugins.xarray.backend", "")
    with_backend, without = (
        subprocess.run([sys.executable, "-c", each], capture_output=True, text=True, check=True).stdout.split()
        for each in (code, plain)
    )
    assert with_backend == without


@pytest.mark.parametrize(("version", "layout"), FORMS)
def test_every_level_of_a_store_has_its_pixels_and_coordinates(slide, levels, written, version, layout):
    path = written(slide, version, layout)
    for number, pixels in enumerate(levels(slide)):
        with xr.open_dataset(path, engine="infbrush", level=number) as found:
            assert found.image.dims == ("band", "y", "x")
            assert found.image.dtype == np.uint8
            np.testing.assert_array_equal(found.image.values.transpose(1, 2, 0), pixels)
            pitch = 0.5 * 2**number
            np.testing.assert_allclose(found.x, (np.arange(pixels.shape[1]) + 0.5) * pitch)
            np.testing.assert_allclose(found.y, (np.arange(pixels.shape[0]) + 0.5) * pitch)
            assert (found.x.attrs["units"], found.attrs["unit"]) == ("micrometer", "micrometer")
            assert found.attrs["mpp"] == pytest.approx(pitch)
            assert list(found.band.values) == ["Red", "Green", "Blue"]
            assert found.attrs["synthetic"] == 1
            assert json.loads(found.attrs["provenance"])["seed"] == 3


def test_only_the_window_that_is_asked_for_is_read(slide, levels, written, asked):
    found = xr.open_dataset(written(slide), engine="infbrush")
    window = found.image.isel(x=slice(100, 140), y=slice(7, 20)).sel(band="Green")
    assert asked == []
    values = window.values
    assert [(level, box.x0, box.y0, box.w, box.h) for level, box in asked] == [(0, 100, 7, 40, 13)]
    np.testing.assert_array_equal(values, levels(slide)[0][7:20, 100:140, 1])


def test_it_is_indexed_as_numpy_is(slide, levels, written):
    image = xr.open_dataset(written(slide), engine="infbrush", cache=False).image
    whole = levels(slide)[0].transpose(2, 0, 1)
    for key in [
        np.s_[1],
        np.s_[:, 5, 7],
        np.s_[2, :, 600:],
        np.s_[::-1, 100::-3, 3:500:17],
        np.s_[:, 5:5, :],
        np.s_[-1, -1, -1],
    ]:
        np.testing.assert_array_equal(image[key].values, whole[key])
    np.testing.assert_array_equal(image[[0, 2], [5, 3, 3], :].values, whole[[0, 2]][:, [5, 3, 3]])
    points = xr.DataArray([3, 600, 3]), xr.DataArray([140, 0, 9])
    np.testing.assert_array_equal(image.isel(x=points[0], y=points[1]).values, whole[:, [140, 0, 9], [3, 600, 3]])
    nearest = image.sel(x=123.4, y=19.9, method="nearest").values
    np.testing.assert_array_equal(nearest, whole[:, 39, 246])


def test_with_chunks_it_is_a_dask_array_that_other_processes_can_read(slide, levels, written, asked):
    found = xr.open_dataset(written(slide), engine="infbrush", level=1, chunks={})
    assert found.image.chunks == ((3,), (71,), (307,))
    travelled = pickle.loads(pickle.dumps(found.image + 0))
    assert asked == []
    np.testing.assert_array_equal(travelled.values.transpose(1, 2, 0), levels(slide)[1])


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_store_is_a_tree_of_levels(slide, levels, written, asked, chunks):
    tree = xr.open_datatree(written(slide, "0.4"), engine="infbrush", chunks=chunks)
    assert list(tree.children) == ["scale0", "scale1", "scale2"]
    assert asked == []
    for number, pixels in enumerate(levels(slide)):
        level = tree[f"scale{number}"]
        np.testing.assert_array_equal(level["image"].values.transpose(1, 2, 0), pixels)
        assert level.attrs["mpp"] == pytest.approx(0.5 * 2**number)
    assert set(xr.open_groups(written(slide), engine="infbrush")) == {"/", "/scale0", "/scale1", "/scale2"}


def test_without_an_engine_it_opens_what_xarray_cannot_open_by_itself(slide, written):
    assert xr.open_dataset(written(slide), chunks=None).image.dims == ("band", "y", "x")
    assert list(xr.open_datatree(written(slide)).children) == ["scale0", "scale1", "scale2"]
    nested = xr.open_datatree(written(slide, "0.5", "nested"), consolidated=False)
    assert set(nested.children) == {"0", "1", "2"}


@pytest.mark.parametrize("form", [*FORMS, "canvas"])
def test_rioxarray_reads_crs_and_transform_back(raster, written, form):
    pytest.importorskip("rioxarray")
    for number in range(raster.level_count):
        wanted = raster.lattice.downsampled(2**number)
        if form == "canvas":
            found = canvas_dataset(raster, number)
        else:
            found = xr.open_dataset(written(raster, *form), engine="infbrush", level=number)
        for thing in (found, found.image):
            assert thing.rio.crs.to_epsg() == 26914
            assert thing.rio.transform().almost_equals(wanted.transform)
        assert found.image.rio.bounds() == pytest.approx((5e5, 4.42e6 - 71 - (number and 1), 5e5 + 300, 4.42e6))
        assert found.x.attrs["standard_name"] == "projection_x_coordinate"
        assert found.y[0] > found.y[-1]


def test_a_raster_canvas_becomes_a_geotiff_by_rioxarray(raster, levels, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    pytest.importorskip("rioxarray")
    canvas_dataset(raster).image.rio.to_raster(tmp_path / "x.tif")
    with rasterio.open(tmp_path / "x.tif") as file:
        assert file.crs.to_epsg() == 26914
        assert file.transform == raster.lattice.transform
        assert file.descriptions == ("Red", "Green", "Blue", "NIR")
        np.testing.assert_array_equal(file.read().transpose(1, 2, 0), levels(raster)[0])
    canvas_dataset(raster).image.isel(x=slice(100, 150), y=slice(20, 60)).rio.to_raster(tmp_path / "window.tif")
    with rasterio.open(tmp_path / "window.tif") as file:
        assert file.bounds == (500_100, 4_420_000 - 60, 500_150, 4_420_000 - 20)
        np.testing.assert_array_equal(file.read().transpose(1, 2, 0), levels(raster)[0][20:60, 100:150])


def test_a_canvas_is_lazy(make_pipeline, levels):
    canvas = make_pipeline()(size=(300, 40), num_inference_steps=1, tile=128, engine="joint")
    tree = canvas_datatree(canvas)
    one = canvas_dataset(canvas, 1)
    plain = xr.open_dataset(canvas, engine="infbrush")
    assert not canvas.rendered
    assert list(tree.children) == ["scale0", "scale1"]
    for number, pixels in enumerate(levels(canvas)):
        np.testing.assert_array_equal(tree[f"scale{number}/image"].values.transpose(1, 2, 0), pixels)
    np.testing.assert_array_equal(one.image.values, tree["scale1/image"].values)
    np.testing.assert_array_equal(plain.image.values, tree["scale0/image"].values)
    assert one.attrs["mpp"] == pytest.approx(1.0)


def test_a_dataset_can_be_written_as_it_is(raster, tmp_path):
    found = canvas_dataset(raster)
    found.to_zarr(tmp_path / "x.zarr", zarr_format=2)
    back = xr.open_zarr(tmp_path / "x.zarr", decode_coords="all")
    xr.testing.assert_identical(back.load(), found.load())


def test_pictures_open_with_the_pixel_size_that_is_given(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = xr.open_dataset(tmp_path / "a.png", engine="infbrush", mpp=(0.5, 0.25), bands=(3, 1))
    np.testing.assert_array_equal(found.image.values.transpose(1, 2, 0), pixels[..., [2, 0]])
    assert (float(found.x[0]), float(found.y[0])) == (0.25, 0.125)
    assert list(xr.open_dataset(tmp_path / "a.png", engine="infbrush", drop_variables="image").data_vars) == []


def test_a_rotated_image_has_its_place_in_the_transform_alone():
    rioxarray = pytest.importorskip("rioxarray")
    turned = Affine.translation(5e5, 5e6) @ Affine.rotation(20) @ Affine.scale(2, -2)
    source = ArraySource(np.zeros((6, 9, 3), np.uint8), lattice=Lattice(Shape(6, 9), turned, "meter", "EPSG:26914"))
    found = xr.open_dataset(source, engine="infbrush")
    assert rioxarray
    assert set(found.coords) == {"band", "spatial_ref"}
    assert tuple(found.rio.transform())[:6] == pytest.approx(tuple(turned)[:6])


def test_bad_input_is_one_clear_error(slide, written, tmp_path):
    with pytest.raises(RegionError, match=r"levels 0 to 2, not 3"):
        xr.open_dataset(written(slide), engine="infbrush", level=3)
    with pytest.raises(SourceNotFoundError, match="nothing at"):
        xr.open_dataset(tmp_path / "none.ome.zarr", engine="infbrush")
    with pytest.raises(ConfigError, match="only a path takes options"):
        xr.open_dataset(slide, engine="infbrush", mpp=1.0)
    with pytest.raises(ConfigError, match="a canvas, a source or a path, not dict"):
        xr.open_dataset({}, engine="infbrush")
    unknown = ArraySource(np.zeros((2, 2, 3), np.uint8), lattice=Lattice(Shape(2, 2), Affine.identity(), "meter", "no"))
    with pytest.raises(ConfigError, match="coordinate reference system 'no' is not known"):
        xr.open_dataset(unknown, engine="infbrush")
