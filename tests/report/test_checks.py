"""Checks must pass on right files and fail on wrong ones."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.report.checks import check_store
from infbrush_wsi.report.raster import raster_checks, raster_content
from infbrush_wsi.writers import write_ome_zarr

PIXELS = np.random.default_rng(0).integers(0, 256, (600, 700, 3), np.uint8)


@pytest.fixture
def store(tmp_path):
    array = da.from_array(PIXELS, chunks=(256, 256, 3))
    lattice = Lattice.regular(Shape(600, 700), 0.5)
    return write_ome_zarr([array], tmp_path / "a.ome.zarr", lattice=lattice, name="a", version="0.4")


def without_tiatoolbox(monkeypatch):
    from importlib import metadata

    from infbrush_wsi.report import checks

    def version(name):
        if name == "tiatoolbox":
            raise metadata.PackageNotFoundError
        return "1"

    monkeypatch.setattr(checks.metadata, "version", version)


def test_a_right_store_passes_and_a_missing_library_is_told(store, monkeypatch):
    pytest.importorskip("ome_zarr")
    without_tiatoolbox(monkeypatch)
    found = check_store(store, PIXELS, 0.5)
    assert [check.passed for check in found] == [True, None, True]
    assert "700 x 600, 0.5 µm/px, 0 values differ" in found[0].found


def test_wrong_pixels_sizes_and_damaged_files_fail(store, monkeypatch):
    pytest.importorskip("ome_zarr")
    without_tiatoolbox(monkeypatch)
    other = PIXELS.copy()
    other[17, 23, 1] ^= 1
    assert [check.passed for check in check_store(store, other, 0.5)] == [False, None, False]
    assert "1 values differ" in check_store(store, other, 0.5)[0].found
    assert [check.passed for check in check_store(store, PIXELS, 0.25)] == [False, None, False]
    assert [check.passed for check in check_store(store, PIXELS[:-1], 0.5)] == [False, None, False]
    next(path for path in (store / "0").rglob("*") if path.is_file() and path.name[0] != ".").write_bytes(b"?")
    assert [check.passed for check in check_store(store, PIXELS, 0.5)] == [False, None, False]


@pytest.mark.slow
@pytest.mark.tiatoolbox
def test_tiatoolbox_sees_the_same_pixels(store):
    pytest.importorskip("tiatoolbox")
    found = check_store(store, PIXELS, 0.5)[1]
    assert found.passed is True, found.found


def test_a_raster_is_shown_with_its_place(tmp_path):
    pytest.importorskip("rasterio")
    from infbrush_wsi.phantom import write_phantom_raster

    path = write_phantom_raster(tmp_path / "a.tif", size=(256, 200))
    raster = raster_content(path, 128)
    assert raster.facts["CRS"] == "EPSG:26914"
    assert raster.facts["bounds"] == "500000.0, 4419880.0 to 500153.6, 4420000.0"
    assert raster.picture.shape == (100, 128, 3)
    assert raster.infrared is not None
    assert [check.passed for check in raster_checks(path)] == [True]
