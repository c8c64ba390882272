"""Coordinates and coordinate reference systems beside the levels."""

import numpy as np
import pytest
import zarr
from affine import Affine

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.writers import write_ome_zarr

xr = pytest.importorskip("xarray")
pytest.importorskip("rioxarray")
rasterio_crs = pytest.importorskip("rasterio.crs")


@pytest.fixture
def dataset(tmp_path, pixels, lazy):
    def opened(lattice, version="0.5"):
        path = tmp_path / "x.ome.zarr"
        image = pixels(*lattice.shape.as_tuple())
        write_ome_zarr([lazy(image)], path, lattice=lattice, name="x", version=version, layout="nested")
        return xr.open_dataset(path / "0", engine="zarr", consolidated=False)

    return opened


@pytest.mark.parametrize("crs", ["EPSG:26914", rasterio_crs.CRS.from_epsg(26914).to_wkt()])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_crs_by_code_and_by_wkt(dataset, crs, version):
    found = dataset(Lattice(Shape(6, 9), Affine(2, 0, 5e5, 0, -2, 5e6), "meter", crs), version)
    assert found.rio.crs.to_epsg() == 26914
    assert found.x.attrs["standard_name"] == "projection_x_coordinate"
    np.testing.assert_allclose(found.x, 5e5 + 2 * (np.arange(9) + 0.5))
    np.testing.assert_allclose(found.y, 5e6 - 2 * (np.arange(6) + 0.5))


def test_geographic_axes_are_in_degrees(dataset):
    found = dataset(Lattice(Shape(6, 9), Affine(0.1, 0, -100, 0, -0.1, 45), "degree", "EPSG:4326"))
    assert (found.x.attrs["units"], found.y.attrs["units"]) == ("degrees_east", "degrees_north")


def test_a_rotated_raster_keeps_its_transform(dataset):
    transform = Affine.translation(5e5, 5e6) @ Affine.rotation(20) @ Affine.scale(2, -2)
    found = dataset(Lattice(Shape(6, 9), transform, "meter", "EPSG:26914"))
    assert "x" not in found.coords
    assert tuple(found.rio.transform())[:6] == pytest.approx(tuple(transform)[:6])


def test_a_slide_has_coordinates_in_micrometres_and_no_crs(dataset, tmp_path):
    found = dataset(Lattice.regular(Shape(6, 9), 0.5))
    assert found.rio.crs is None
    assert "spatial_ref" not in zarr.open_group(str(tmp_path / "x.ome.zarr"), mode="r")["0"]
    np.testing.assert_allclose(found.x, 0.5 * (np.arange(9) + 0.5))
    assert found.x.attrs["units"] == "micrometer"
