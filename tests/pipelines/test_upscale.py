"""Making real pictures finer: averaged down they are the picture, on its place, with a record."""

import numpy as np
import pytest
from affine import Affine

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.fields.mollifier import Mollifier
from infbrush_wsi.pipelines.upscale import upscale
from infbrush_wsi.sources.array import ArraySource

STEPS = {"num_inference_steps": 3}


def smooth(h, w, seed=0):
    noise = np.random.default_rng(seed).normal(0, 1.2, (h, w, 3)).astype(np.float32)
    return (np.clip(Mollifier(1.2).on_image(noise), -0.9, 0.9) * 127.5 + 127.5).round().astype(np.uint8)


def averaged(pixels, factor):
    h, w, c = pixels.shape
    return pixels.reshape(h // factor, factor, w // factor, factor, c).mean(axis=(1, 3))


@pytest.fixture(scope="module")
def pipe(make_pipeline):
    return make_pipeline()


@pytest.fixture(scope="module")
def coarse():
    return ArraySource(smooth(40, 44), mpp=2.0)


@pytest.fixture(scope="module")
def finer(pipe, coarse):
    return upscale(pipe, coarse, factor=4, region=(6, 8, 14, 10), **STEPS)


def test_averaged_down_it_is_the_picture(finer, coarse):
    off = np.abs(averaged(finer.pixels, 4) - coarse.read_region((6, 8), 0, (14, 10)))
    assert off.max() < 0.5
    assert off.mean() < 0.1


def test_there_is_more_in_it_than_an_enlargement(finer):
    repeated = averaged(finer.pixels, 4).repeat(4, axis=0).repeat(4, axis=1)
    assert (finer.pixels - repeated).std() > 2


def test_black_and_white_keep_their_averages(pipe):
    pixels = np.kron(np.random.default_rng(0).integers(0, 2, (4, 4, 1)) * 255, np.ones((4, 4, 3))).astype(np.uint8)
    found = upscale(pipe, ArraySource(pixels, mpp=2.0), factor=4, **STEPS)
    assert np.abs(averaged(found.pixels, 4) - pixels).max() < 0.6


def test_a_picture_larger_than_a_frame_is_made_in_parts(pipe):
    source = ArraySource(smooth(6, 110), mpp=2.0)
    found = upscale(pipe, source, factor=4, num_inference_steps=1)
    assert found.shape == (24, 440, 3)
    assert np.abs(averaged(found.pixels, 4) - source.read_region((0, 0), 0, (110, 6))).max() < 0.5


@pytest.mark.parametrize(
    "setting",
    [
        {"seed": 2},
        {"condition": "Normal"},
        {"strength": 0.7},
        {"strength": 0.7, "start": "inversion"},
        {"weight": 0.02},
    ],
    ids=str,
)
def test_every_setting_matters_and_keeps_the_averages(pipe, coarse, finer, setting):
    other = upscale(pipe, coarse, factor=4, region=(6, 8, 14, 10), **STEPS | setting)
    assert (other.pixels != finer.pixels).any()
    assert np.abs(averaged(other.pixels, 4) - averaged(finer.pixels, 4)).max() < 1.0
    assert other.provenance != finer.provenance


def test_place_and_record(pipe, coarse, finer):
    assert finer.shape == (40, 56, 3)
    assert finer.lattice.mpp == pytest.approx(0.5)
    assert finer.lattice.transform @ (0, 0) == pytest.approx((12.0, 16.0))
    assert finer.provenance["factor"] == 4
    assert finer.provenance["source"]["region"] == [6, 8, 14, 10]
    assert finer.provenance["task"] == "upscale"
    assert finer.provenance["synthetic"] is True


def test_a_raster_keeps_its_crs(make_pipeline):
    info = {"unit": "meter", "spacing": (1.0,), "crs": "EPSG:26914"}
    transform = Affine(2.0, 0.0, 500_000.0, 0.0, -2.0, 4_400_000.0)
    source = ArraySource(smooth(12, 16), lattice=Lattice(Shape(12, 16), transform, "meter", "EPSG:26914"))
    found = upscale(make_pipeline(info=info), source, factor=2, region=(4, 6, 8, 6), **STEPS)
    assert found.lattice.crs == "EPSG:26914"
    assert found.lattice.transform == Affine(1.0, 0.0, 500_008.0, 0.0, -1.0, 4_399_988.0)
    assert found.shape == (12, 16, 3)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"factor": 1}, ConfigError, "factor"),
        ({"factor": 32}, RegionError, "choose another level or factor"),
        ({"factor": 4, "region": (0, 0, 99, 3)}, RegionError, "not inside"),
        ({"factor": 4, "level": 3}, RegionError, "no level 3"),
        ({"factor": 4, "replace": False}, ConfigError, "weight"),
    ],
)
def test_bad_input_gives_one_error(pipe, coarse, options, error, words):
    with pytest.raises(error, match=words):
        upscale(pipe, coarse, **STEPS | options)
