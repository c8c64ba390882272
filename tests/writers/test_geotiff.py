"""COGs, read back by rasterio and by this package, and judged by rio-cogeo."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from affine import Affine

from infbrush_wsi import open_source
from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import BandMismatchError, ConfigError, OutputError, OutputExistsError
from infbrush_wsi.writers.description import from_description
from infbrush_wsi.writers.geotiff import write_geotiff

rasterio = pytest.importorskip("rasterio")
MADE = {"synthetic": True, "seed": 3}
PLACE = Affine(0.6, 0.1, 500_000, 0.1, -0.6, 4_420_000)


def pixels(c=4):
    return np.random.default_rng(1).integers(1, 256, (300, 530, c), np.uint8)


def write(path, image, **changes):
    given = {"lattice": Lattice(Shape(300, 530), PLACE, "meter", "EPSG:26914"), "provenance": MADE} | changes
    return write_geotiff(da.from_array(image, chunks=(100, 200, image.shape[2])), path, **given)


def test_everything_comes_back(tmp_path):
    image = pixels()
    path = write(tmp_path / "a.tif", image, channel_names=("r", "g", "b", "nir"), nodata=0)
    with rasterio.open(path) as raster:
        np.testing.assert_array_equal(np.moveaxis(raster.read(), 0, 2), image)
        assert raster.transform == PLACE
        assert raster.crs.to_epsg() == 26914
        assert raster.descriptions == ("r", "g", "b", "nir")
        assert raster.nodata == 0
        assert raster.overviews(1) == [2, 4]
        assert raster.profile["blockxsize"] == 256
        assert from_description(raster.tags()["TIFFTAG_IMAGEDESCRIPTION"]) == MADE


@pytest.mark.parametrize(
    ("shape", "channels", "crs"), [((700, 1300), 3, "EPSG:4326"), ((300, 530), 5, "EPSG:26914"), ((9, 600), 1, None)]
)
def test_it_is_a_cog(tmp_path, shape, channels, crs):
    cogeo = pytest.importorskip("rio_cogeo.cogeo")
    image = np.random.default_rng(2).integers(0, 256, (*shape, channels), np.uint8)
    place = Affine(1e-5, 0, 10, 0, -1e-5, 50)
    path = write(tmp_path / "a.tif", image, lattice=Lattice(Shape(*shape), place, "degree", crs))
    assert cogeo.cog_validate(path, strict=True, quiet=True) == (True, [], [])
    with rasterio.open(path) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(np.moveaxis(raster.read(), 0, 2), image)
        assert raster.transform == place
    assert list(tmp_path.iterdir()) == [path]


def test_overviews_are_means(tmp_path):
    image = pixels()
    path = write(tmp_path / "a.tif", image)
    with rasterio.open(path, overview_level=0) as raster:
        found = np.moveaxis(raster.read(), 0, 2)
    means = image.reshape(150, 2, 265, 2, 4).mean(axis=(1, 3))
    assert np.abs(found - means).max() <= 0.5


def test_this_package_reads_it_back(tmp_path):
    image = pixels()
    with open_source(write(tmp_path / "a.tif", image, channel_names=("r", "g", "b", "nir"))) as source:
        assert source.level_shapes == ((300, 530), (150, 265), (75, 133))
        assert source.lattice.transform == PLACE
        assert source.lattice.crs == "EPSG:26914"
        assert source.channel_names == ("r", "g", "b", "nir")
        np.testing.assert_array_equal(source.read_region((0, 0), 0, (530, 300)), image)


def test_progress_counts_windows_and_the_copy(tmp_path):
    calls = []
    write(tmp_path / "a.tif", pixels(), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]


def test_a_failing_block_leaves_the_old_file(tmp_path):
    def broken(block):
        raise RuntimeError("the disk of the source is gone")

    path = tmp_path / "a.tif"
    path.write_bytes(b"old")
    level0 = da.zeros((300, 530, 4), dtype=np.uint8).map_blocks(broken, dtype=np.uint8, meta=np.empty((0, 0, 0), "u1"))
    given = {"lattice": Lattice(Shape(300, 530), PLACE, "meter", "EPSG:26914"), "provenance": MADE}
    with pytest.raises(OutputExistsError):
        write_geotiff(level0, path, **given)
    with pytest.raises(OutputError, match="the source is gone"):
        write_geotiff(level0, path, overwrite=True, **given)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_raster_without_crs_keeps_its_transform(tmp_path):
    path = write(tmp_path / "a.tif", pixels(1), lattice=Lattice(Shape(300, 530), PLACE, "meter"))
    with rasterio.open(path) as raster:
        assert raster.crs is None
        assert raster.transform == PLACE


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"lattice": Lattice(Shape(300, 530), PLACE, "meter", "EPSG:nonsense")}, ConfigError),
        ({"channel_names": ("one",)}, BandMismatchError),
    ],
)
def test_bad_input_leaves_nothing(tmp_path, change, error):
    with pytest.raises(error):
        write(tmp_path / "a.tif", pixels(), **change)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"no/a\.tif"):
        write(tmp_path / "no" / "a.tif", pixels())
