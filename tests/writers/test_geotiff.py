"""GeoTIFF, read back by rasterio."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from affine import Affine

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import BandMismatchError, ConfigError, OutputError
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
