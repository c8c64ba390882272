"""Filling holes of real images: what is outside stays, what is inside fits, and the record says what was done."""

import json

import numpy as np
import pytest
from affine import Affine
from PIL import Image

from infbrush_wsi.errors import BandMismatchError, ConfigError, MissingMppError, RegionError
from infbrush_wsi.pipelines.inpaint import inpaint
from infbrush_wsi.sources import open_source
from infbrush_wsi.sources.array import ArraySource

QUICK = {"num_inference_steps": 3, "rounds": 1}
BOX = (40, 30, 12, 10)


@pytest.fixture(scope="module")
def pipe(make_pipeline):
    return make_pipeline()


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("real") / "slide.png"
    pixels = np.random.default_rng(0).integers(90, 200, (90, 110, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return open_source(path, mpp=0.5)


@pytest.fixture(scope="module")
def filled(pipe, slide):
    return inpaint(pipe, slide, BOX, **QUICK)


def changed(found, slide):
    real = slide.read_region((0, 0), 0, (110, 90))
    return (found.pixels != real).any(axis=2)


def test_only_the_hole_changes(filled, slide):
    inside = np.zeros((90, 110), bool)
    inside[30:40, 40:52] = True
    different = changed(filled, slide)
    assert not different[~inside].any()
    assert different[inside].mean() > 0.9


def test_the_same_call_gives_the_same_bytes_in_any_region(pipe, slide, filled):
    part = inpaint(pipe, slide, BOX, region=(20, 10, 60, 50), **QUICK)
    assert part.shape == (50, 60, 3)
    np.testing.assert_array_equal(part.pixels, filled.pixels[10:60, 20:80])
    np.testing.assert_array_equal(part[5:30, 12:40], filled.pixels[15:40, 32:60])
    np.testing.assert_array_equal(filled.to_dask(chunk=32).compute(scheduler="synchronous"), filled.pixels)
    assert part.lattice.transform == slide.lattice.transform @ Affine.translation(20, 10)


@pytest.mark.parametrize(
    "setting",
    [
        {"seed": 1}, {"condition": "Invasive"}, {"condition": "Invasive", "guidance_scale": 2.0}, {"strength": 0.7},
        {"weight": 0.05}, {"weight": 0.05, "replace": False}, {"rounds": 2}, {"scheduler": "dpmsolver++"},
        {"strength": 0.7, "start": "inversion"}, {"num_inference_steps": 4},
    ],
    ids=str,
)  # fmt: skip
def test_every_setting_matters_and_is_recorded(pipe, slide, filled, setting):
    other = inpaint(pipe, slide, BOX, **QUICK | setting)
    assert (other.pixels != filled.pixels).any()
    assert not (changed(other, slide) & ~changed(filled, slide))[:30].any()
    assert other.provenance != filled.provenance


@pytest.mark.parametrize("mpp", [0.499, 0.506])
def test_pixels_of_nearly_the_trained_size_count_as_such(pipe, slide, filled, mpp):
    found = inpaint(pipe, open_source(slide.path, mpp=mpp), BOX, **QUICK)
    np.testing.assert_array_equal(found.pixels, filled.pixels)
    assert found.lattice.mpp == pytest.approx(mpp)


def test_the_record(filled, slide):
    record = filled.provenance
    assert record["synthetic"] is True
    assert record["task"] == "inpaint"
    assert record["model"]["sha256"] == "seed 0"
    assert record["source"]["fingerprint"] == slide.fingerprint
    assert record["source"]["region"] == [0, 0, 110, 90]
    assert len(record["mask_sha256"]) == 64
    assert (record["seed"], record["steps"], record["how"]["replace"]) == (0, 3, True)
    json.dumps(record)


def test_masks_of_all_kinds_are_the_same_mask(pipe, slide, filled, tmp_path):
    inside = np.zeros((90, 110), bool)
    inside[30:40, 40:52] = True
    Image.fromarray(inside.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    ring = [[40, 30], [52, 30], [52, 40], [40, 40], [40, 30]]
    area = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (tmp_path / "mask.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [area]}))
    for mask in (inside, tmp_path / "mask.png", str(tmp_path / "mask.geojson")):
        found = inpaint(pipe, slide, mask, **QUICK)
        np.testing.assert_array_equal(found.pixels, filled.pixels)
        assert found.provenance == filled.provenance


def test_a_hole_larger_than_a_frame_is_filled_in_parts(pipe):
    pixels = np.random.default_rng(0).integers(90, 200, (100, 330, 3), dtype=np.uint8)
    found = inpaint(pipe, ArraySource(pixels, mpp=0.5), (30, 40, 260, 8), num_inference_steps=1, rounds=1)
    different = (found.pixels != pixels).any(axis=2)
    assert different[40:48, 30:290].mean() > 0.9
    assert different.sum() == different[40:48, 30:290].sum()


@pytest.mark.parametrize(
    ("mask", "options", "error", "words"),
    [
        ((100, 80, 30, 30), {}, RegionError, "outside the region"),
        ((0, 0, 0, 3), {}, RegionError, "empty"),
        ((0, 0, 5), {}, RegionError, "x, y, w, h"),
        (np.zeros((90, 110), bool), {}, RegionError, "nothing to fill"),
        (np.ones((9, 9), bool), {}, RegionError, "9 x 9 pixels, the region 110 x 90"),
        ("missing.png", {}, ConfigError, "cannot read the mask"),
        (BOX, {"strength": 0.0}, ConfigError, "strength"),
        (BOX, {"start": "middle"}, ConfigError, "start"),
        (BOX, {"mask_unit": "mile"}, ConfigError, "mile"),
        (BOX, {"seed": -1}, ConfigError, "seed"),
    ],
)
def test_bad_input_gives_one_error(pipe, slide, mask, options, error, words):
    with pytest.raises(error, match=words):
        inpaint(pipe, slide, mask, **QUICK | options)


def test_images_of_another_kind_are_refused(pipe, slide, tmp_path):
    with pytest.raises(BandMismatchError, match="bands"):
        inpaint(pipe, open_source(slide.path, mpp=0.5, bands=[1]), BOX, **QUICK)
    with pytest.raises(MissingMppError, match="pixel size"):
        inpaint(pipe, slide.path, BOX, **QUICK)
    with pytest.raises(RegionError, match="this model makes them from"):
        inpaint(pipe, open_source(slide.path, mpp=0.05), BOX, **QUICK)
