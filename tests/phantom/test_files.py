"""Phantom files, read back by the libraries that will read the users' own."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError, OutputError, RegionError
from infbrush_wsi.phantom import (
    CLASSES,
    aerial_image,
    hne_image,
    write_phantom_collection,
    write_phantom_raster,
    write_phantom_slide,
)

openslide = pytest.importorskip("openslide")
rasterio = pytest.importorskip("rasterio")


def level_pixels(slide, level):
    return np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]).convert("RGB")).astype(int)


def test_openslide_sees_every_level_and_the_pixel_size(tmp_path):
    path = write_phantom_slide(tmp_path / "deep" / "slide.tif", "InSitu", size=(600, 511), mpp=0.37, seed=4)
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        assert slide.level_dimensions == ((600, 511), (300, 256), (150, 128))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.37, rel=1e-4)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.37, rel=1e-4)
        assert "synthetic" in slide.properties["tiff.ImageDescription"]


def test_levels_hold_the_phantom_up_to_jpeg(tmp_path):
    path = write_phantom_slide(tmp_path / "slide.tif", "Benign", size=(512, 384), mpp=0.5, seed=1)
    expected = hne_image("Benign", Shape(384, 512), 0.5, 1).astype(float)
    with openslide.OpenSlide(path) as slide:
        assert slide.level_count == 2
        for level in range(slide.level_count):
            difference = np.abs(level_pixels(slide, level) - expected)
            assert difference.mean() < 3
            assert np.quantile(difference, 0.99) < 20
            h, w, _ = expected.shape
            expected = expected.reshape(h // 2, 2, w // 2, 2, 3).mean(axis=(1, 3))


def test_slide_files_are_deterministic(tmp_path):
    first = write_phantom_slide(tmp_path / "a.tif", "Normal", size=(256, 256), seed=2)
    again = write_phantom_slide(tmp_path / "b.tif", "Normal", size=(256, 256), seed=2)
    other = write_phantom_slide(tmp_path / "c.tif", "Normal", size=(256, 256), seed=3)
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()


def test_raster_carries_its_georeference_bands_and_overviews(tmp_path):
    path = write_phantom_raster(tmp_path / "aerial.tif", size=(520, 300), resolution=0.6, seed=5)
    with rasterio.open(path) as raster:
        assert raster.crs.to_epsg() == 26914
        assert raster.res == (0.6, 0.6)
        assert raster.transform.e == -0.6
        assert raster.descriptions == ("red", "green", "blue", "nir")
        assert raster.profile["tiled"]
        assert raster.overviews(1) == [2, 4]
        assert raster.nodata is None
        assert (raster.dataset_mask() == 255).all()
        np.testing.assert_array_equal(np.moveaxis(raster.read(), 0, 2), aerial_image(Shape(300, 520), 0.6, 5))


@pytest.mark.parametrize("nodata", [0, 255])
def test_nodata_marks_the_border_and_nothing_else(tmp_path, nodata):
    path = write_phantom_raster(tmp_path / "aerial.tif", size=(320, 256), seed=5, nodata=nodata)
    with rasterio.open(path) as raster:
        assert raster.nodata == nodata
        mask, pixels = raster.dataset_mask() == 255, raster.read()
        assert mask[0].sum() == 0
        assert 0.6 < mask.mean() < 0.9
        assert (pixels[:, ~mask] == nodata).all()
        assert (pixels[:, mask] != nodata).all()
        original = np.moveaxis(aerial_image(Shape(256, 320), 0.6, 5), 2, 0)
        assert np.abs(pixels[:, mask].astype(int) - original[:, mask]).max() <= 1


def test_another_metric_crs_is_taken(tmp_path):
    path = write_phantom_raster(tmp_path / "aerial.tif", size=(64, 64), crs="EPSG:3857")
    with rasterio.open(path) as raster:
        assert raster.crs.to_epsg() == 3857
        assert raster.overviews(1) == []


def test_collection_has_one_folder_per_class_and_the_raster_apart(tmp_path):
    paths = write_phantom_collection(tmp_path, per_class=2, size=(128, 96), mpp=2.0, seed=1)
    assert list(paths) == [*CLASSES, "aerial"]
    for label in CLASSES:
        assert paths[label] == [tmp_path / "slides" / label / f"{label}_{k}.tif" for k in range(2)]
        first, second = (openslide.OpenSlide(path) for path in paths[label])
        assert first.dimensions == (128, 96)
        assert np.abs(level_pixels(first, 0) - level_pixels(second, 0)).mean() > 5
    assert paths["aerial"] == [tmp_path / "aerial" / "aerial.tif"]
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {path for group in paths.values() for path in group}


@pytest.mark.parametrize("write", [lambda path: write_phantom_slide(path, "Normal", size=(64, 64)),
                                   lambda path: write_phantom_raster(path, size=(64, 64))])  # fmt: skip
def test_a_failed_write_leaves_nothing_behind(tmp_path, write):
    (tmp_path / "taken.tif").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*taken\.tif"):
        write(tmp_path / "taken.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.tif"]
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError):
        write(tmp_path / "file" / "slide.tif")


def test_an_existing_file_is_replaced_whole(tmp_path):
    path = tmp_path / "slide.tif"
    path.write_bytes(b"older")
    write_phantom_slide(path, "Normal", size=(64, 64))
    with openslide.OpenSlide(path) as slide:
        assert slide.dimensions == (64, 64)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: write_phantom_slide(d / "x.tif", "Malign", size=(64, 64)), ConfigError, "Malign"),
        (lambda d: write_phantom_slide(d / "x.tif", "Normal", size=(0, 64)), RegionError, "size"),
        (lambda d: write_phantom_raster(d / "x.tif", size=(64, 64), crs="EPSG:4326"), ConfigError, "metres"),
        (lambda d: write_phantom_raster(d / "x.tif", size=(64, 64), crs="nowhere"), ConfigError, "nowhere"),
        (lambda d: write_phantom_raster(d / "x.tif", size=(64, 64), nodata=300), ConfigError, "300"),
        (lambda d: write_phantom_raster(d / "x.tif", size=(64, 64), resolution=0), RegionError, "positive"),
        (lambda d: write_phantom_collection(d, per_class=0), ConfigError, "per_class"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_written(tmp_path, call, error, message):
    with pytest.raises(error, match=message):
        call(tmp_path)
    assert list(tmp_path.iterdir()) == []
