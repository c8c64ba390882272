"""TIAToolbox reads canvases and all our stores by pixels, micrometres, power and baseline, down to its engines."""

from __future__ import annotations

import logging
import pickle

import numpy as np
import pytest

from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import CorruptSourceError, MissingExtraError, SourceNotFoundError
from infbrush_wsi.plugins.tiatoolbox import source as source_module
from infbrush_wsi.sources import ArraySource, open_source
from infbrush_wsi.writers import write_ome_zarr
from infbrush_wsi.writers.pyramid import halve
from infbrush_wsi.writers.tiff import write_ome_tiff

pytestmark = [pytest.mark.slow, pytest.mark.tiatoolbox, pytest.mark.usefixtures("one_thread")]
pytest.importorskip("tiatoolbox")
FORMS = [("0.4", "flat"), ("0.5", "flat"), ("0.5", "nested")]


@pytest.fixture(autouse=True)
def _quiet():
    """TIAToolbox logs each inference of an objective power and each codec."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(params=[*FORMS, "canvas"], ids=["0.4", "0.5", "0.5-nested", "canvas"])
def reader(request, slide, written):
    from infbrush_wsi.plugins.tiatoolbox import wsi_reader

    return wsi_reader(slide if request.param == "canvas" else written(slide, *request.param))


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A store of 0.5 µm per pixel: a stained disk of radius 400 about (700, 500) on glass, 1400 x 1000."""
    import dask.array as da

    y, x = np.mgrid[:1000, :1400]
    inside = (x - 700) ** 2 + (y - 500) ** 2 < 400**2
    noise = np.random.default_rng(0).integers(-8, 9, (1000, 1400, 3))
    pixels = np.where(inside[..., None], (150, 60, 120), (243, 242, 244)) + noise
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("disk") / "disk.ome.zarr"
    lattice = Lattice.regular(Shape(1000, 1400), 0.5)
    write_ome_zarr([da.from_array(pixels, chunks=256)], path, lattice=lattice, name="disk", chunk=256)
    return path, pixels, inside


def test_it_tells_size_levels_and_pixel_size(reader):
    info = reader.info
    assert info.slide_dimensions == (613, 141)
    assert info.level_dimensions == ((613, 141), (307, 71), (154, 36))
    assert info.level_downsamples == [1.0, 2.0, 4.0]
    assert tuple(info.mpp) == (0.5, 0.5)
    assert info.objective_power == 20.0
    assert info.raw["synthetic"] is True
    assert tuple(reader.slide_dimensions(1.0, "mpp")) in {(306, 70), (307, 71)}


def test_levels_are_read_exactly(reader, slide, levels):
    for number, pixels in enumerate(levels(slide)):
        x, y, w, h = 11, 5, 90, 23
        region = reader.read_rect((x * 2**number, y * 2**number), (w, h), resolution=number, units="level")
        np.testing.assert_array_equal(region, pixels[y : y + h, x : x + w])
        bounds = tuple(side * 2**number for side in (x, y, x + w, y + h))
        region = reader.read_bounds(bounds, resolution=number, units="level")
        np.testing.assert_array_equal(region, pixels[y : y + h, x : x + w])


@pytest.mark.parametrize(("resolution", "units", "level"), [(1.0, "mpp", 1), (0.25, "baseline", 2), (20, "power", 0)])
def test_physical_resolutions_are_read_from_the_level_that_has_them(reader, slide, levels, resolution, units, level):
    region = reader.read_rect((40, 20), (60, 25), resolution=resolution, units=units)
    x, y = 40 >> level, 20 >> level
    np.testing.assert_array_equal(region, levels(slide)[level][y : y + 25, x : x + 60])


def test_between_levels_it_is_interpolated(reader, slide, levels):
    region = reader.read_bounds((0, 0, 600, 140), resolution=0.75, units="mpp")
    assert region.shape == (93, 400, 3)
    assert abs(region.mean((0, 1)) - levels(slide)[0][:140, :600].mean((0, 1))).max() < 1.5


def test_outside_it_is_white(reader, slide, levels):
    region = reader.read_rect((600, 130), (30, 20), pad_constant_values=255)
    np.testing.assert_array_equal(region[:11, :13], levels(slide)[0][130:, 600:])
    assert (region[11:] == 255).all()
    assert (region[:, 13:] == 255).all()


def test_a_thumbnail_reads_the_coarsest_level_only(disk, monkeypatch):
    from infbrush_wsi.plugins.tiatoolbox import wsi_reader
    from infbrush_wsi.sources import Source

    asked = []
    read_box = Source.read_box
    monkeypatch.setattr(
        Source, "read_box", lambda self, box, level=0: asked.append(level) or read_box(self, box, level)
    )
    thumbnail = wsi_reader(disk[0]).slide_thumbnail()
    assert thumbnail.shape == (62, 88, 3)
    assert set(asked) == {3}


@pytest.mark.parametrize(("method", "overlap"), [("otsu", 0.97), ("morphological", 0.8)])
def test_the_tissue_mask_finds_the_disk(disk, method, overlap):
    from infbrush_wsi.plugins.tiatoolbox import wsi_reader

    path, _, inside = disk
    mask = wsi_reader(path).tissue_mask(method, resolution=4.0, units="mpp")
    found = mask.img.astype(bool)
    true = inside[4::8, 4::8]
    assert found.shape == true.shape
    # The morphological mask is grown on purpose.
    assert (found & true).sum() / (found | true).sum() > overlap


def test_patches_are_extracted_where_there_is_tissue(disk):
    from tiatoolbox.tools.patchextraction import SlidingWindowPatchExtractor

    from infbrush_wsi.plugins.tiatoolbox import wsi_reader

    path, pixels, inside = disk
    extractor = SlidingWindowPatchExtractor(
        wsi_reader(path), patch_size=(100, 100), resolution=0.5, units="mpp", input_mask="otsu", min_mask_ratio=0.5,
        within_bound=True,
    )  # fmt: skip
    places = np.asarray(extractor.coordinate_list)
    share = [inside[y0:y1, x0:x1].mean() for x0, y0, x1, y1 in places]
    assert min(share) > 0.4
    assert 44 <= len(places) <= 56  # pi * 400**2 / 100**2 is 50.3
    for patch, (x0, y0, x1, y1) in zip(extractor, places, strict=True):
        np.testing.assert_array_equal(patch, pixels[y0:y1, x0:x1])


def test_patches_of_a_canvas_are_computed_on_demand(make_pipeline):
    from tiatoolbox.tools.patchextraction import PointsPatchExtractor, SlidingWindowPatchExtractor

    from infbrush_wsi.plugins.tiatoolbox import wsi_reader

    canvas = make_pipeline()(size=(200_000, 200_000), num_inference_steps=1, seed=1)
    reader = wsi_reader(canvas)
    assert reader.info.slide_dimensions == (200_000, 200_000)
    sliding = SlidingWindowPatchExtractor(reader, patch_size=(50_000, 50_000), resolution=0.5, units="mpp")
    assert len(sliding.coordinate_list) == 16
    assert not canvas.rendered
    small = make_pipeline()(size=(300, 120), num_inference_steps=1, seed=1)
    points = PointsPatchExtractor(wsi_reader(small), np.array([[100, 60], [220, 50]]), patch_size=(32, 32))
    for patch, (x, y) in zip(points, [(100, 60), (220, 50)], strict=True):
        np.testing.assert_array_equal(patch, small.read_region((x - 15, y - 15), 0, (32, 32)))


def test_a_fourth_band_is_not_taken_for_opacity(raster, levels):
    from infbrush_wsi.plugins.tiatoolbox import wsi_reader

    reader = wsi_reader(raster)
    np.testing.assert_array_equal(reader.read_rect((7, 9), (50, 30)), levels(raster)[0][9:39, 7:57, :3])
    assert tuple(reader.info.mpp) == (1e6, 1e6)
    assert reader.info.objective_power is None
    grey = ArraySource(np.arange(60, dtype=np.uint8).reshape(6, 10), mpp=0.5)
    region = wsi_reader(grey).read_rect((2, 1), (3, 2))
    np.testing.assert_array_equal(region, np.repeat([[[12], [13], [14]], [[22], [23], [24]]], 3, axis=-1))


def test_pixel_size_and_power_can_be_given(slide, written):
    from infbrush_wsi.plugins.tiatoolbox import wsi_reader

    reader = wsi_reader(written(slide), mpp=0.25, power=40)
    assert tuple(reader.info.mpp) == (0.25, 0.25)
    assert reader.info.objective_power == 40


def test_a_reader_travels_to_other_processes(reader, slide, levels):
    travelled = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(travelled.read_rect((30, 10), (40, 20)), levels(slide)[0][10:30, 30:70])


@pytest.mark.parametrize(("version", "layout"), FORMS)
def test_registered_it_opens_stores_by_path(slide, levels, written, version, layout):
    from tiatoolbox.wsicore.wsireader import WSIReader

    from infbrush_wsi.plugins.tiatoolbox import PyramidWSIReader, register, registered, unregister

    path = str(written(slide, version, layout))
    original = WSIReader.try_ngff
    with registered():
        register()
        reader = WSIReader.open(path)
        assert isinstance(reader, PyramidWSIReader)
        np.testing.assert_array_equal(reader.read_rect((0, 0), (154, 36), 2, "level"), levels(slide)[2])
        assert tuple(WSIReader.open(path, mpp=(0.3, 0.3), power=30).info.mpp) == (0.3, 0.3)
    assert WSIReader.try_ngff is original
    unregister()
    assert WSIReader.try_ngff is original


@pytest.mark.parametrize(("kind", "workers"), [("store", 0), ("store", 2), ("canvas", 0)])
def test_an_engine_predicts_on_stores_and_canvases(slide, levels, written, tmp_path, kind, workers):
    import torch
    import zarr
    from tiatoolbox.models.architecture.vanilla import CNNModel
    from tiatoolbox.models.engine.io_config import IOPatchPredictorConfig
    from tiatoolbox.models.engine.patch_predictor import PatchPredictor

    from infbrush_wsi.plugins.tiatoolbox import registered, wsi_reader

    reader = wsi_reader(slide if kind == "canvas" else written(slide))
    config = IOPatchPredictorConfig(
        input_resolutions=[{"units": "mpp", "resolution": 0.5}], patch_input_shape=[64, 64], stride_shape=[64, 64]
    )
    model = CNNModel("resnet18", num_classes=4)
    with registered():
        engine = PatchPredictor(model=model, num_workers=workers, verbose=False)
        made = engine.run(
            [reader], patch_mode=False, ioconfig=config, save_dir=tmp_path / "out", device="cpu",
            auto_get_mask=False, output_type="zarr", return_probabilities=True,
        )  # fmt: skip
    (store,) = made.values()
    found = zarr.open_group(str(store), mode="r")
    places = found["coordinates"][:]
    assert len(places) == len(found["predictions"][:]) == 30
    assert places.max(axis=0).tolist() == [576, 128, 640, 192]
    padded = np.full((192, 640, 3), 255, np.uint8)
    padded[:141, :613] = levels(slide)[0]
    patches = np.stack([padded[y0:y1, x0:x1] for x0, y0, x1, y1 in places])
    wanted = model.infer_batch(model, torch.from_numpy(patches), device="cpu")
    np.testing.assert_allclose(found["probabilities"][:], wanted, atol=1e-4)


def test_a_slide_through_tiatoolbox_is_the_slide(tmp_path):
    import dask.array as da

    pytest.importorskip("imagecodecs")
    pixels = np.random.default_rng(0).integers(0, 256, (301, 517, 3), np.uint8)
    path = tmp_path / "slide.ome.tif"
    lattice = Lattice.regular(Shape(301, 517), 0.5)
    write_ome_tiff(
        da.from_array(pixels, chunks=100), path, lattice=lattice, name="x", provenance={}, compression="deflate"
    )
    slide = open_source(path, reader="tiatoolbox")
    assert slide.level_shapes == ((301, 517), (151, 259), (76, 130))
    assert slide.mpp == pytest.approx(0.5)
    assert [level.downsample for level in slide.levels] == [1.0, 2.0, 4.0]
    for level in range(3):
        np.testing.assert_array_equal(slide.read_box(Box(11, 5, 115, 70), level), pixels[5:75, 11:126])
        pixels = halve(pixels.transpose(2, 0, 1)).transpose(1, 2, 0)
    beyond = slide.read_box(Box(-3, 290, 10, 20))
    assert (beyond[:, :3] == 255).all()
    assert (beyond[11:] == 255).all()
    travelled = pickle.loads(pickle.dumps(slide))
    np.testing.assert_array_equal(travelled.read_box(Box(0, 0, 9, 9), 1), slide.read_box(Box(0, 0, 9, 9), 1))
    blue = open_source(path, reader="tiatoolbox", bands=(3,), mpp=0.3)
    np.testing.assert_array_equal(blue.read_box(Box(9, 9, 5, 5)), slide.read_box(Box(9, 9, 5, 5))[..., 2:])
    assert blue.mpp == pytest.approx(0.3)


def test_what_tiatoolbox_cannot_open_is_one_error(tmp_path):
    (tmp_path / "x.svs").write_bytes(b"no slide")
    with pytest.raises(CorruptSourceError, match=r"TIAToolbox cannot open .*x.svs"):
        open_source(tmp_path / "x.svs", reader="tiatoolbox")
    with pytest.raises(SourceNotFoundError):
        open_source(tmp_path / "y.svs", reader="tiatoolbox")


def test_folders_of_dicom_files_are_claimed_without_importing_it(tmp_path):
    (tmp_path / "slide").mkdir()
    assert not source_module.TiatoolboxSource.can_open(str(tmp_path / "slide"))
    (tmp_path / "slide" / "1.DCM").touch()
    assert source_module.TiatoolboxSource.can_open(str(tmp_path / "slide"))


def test_without_it_the_extra_is_named(monkeypatch):
    import importlib

    from infbrush_wsi.plugins.tiatoolbox import host

    def absent(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=r"infbrush-wsi\[tiatoolbox\]"):
        host.wsireader()
