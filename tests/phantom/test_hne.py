"""The tissue phantom: deterministic, sized in micrometres, and different by class in the ways that define them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.phantom import CLASSES, hne_image

SEEDS = (11, 12, 13)
FIELD = Shape(512, 512)


def nuclear(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where red light is absorbed strongly: only haematoxylin does that."""
    return picture[..., 0] < 155


@pytest.fixture(scope="module")
def fields() -> dict[str, list[NDArray[np.uint8]]]:
    return {label: [hne_image(label, FIELD, 1.0, seed, glass=0) for seed in SEEDS] for label in CLASSES}


def mean_of(fields: dict[str, list[NDArray[np.uint8]]], measure) -> dict[str, float]:
    return {label: float(np.mean([measure(picture) for picture in fields[label]])) for label in CLASSES}


@pytest.mark.parametrize("label", CLASSES)
def test_same_arguments_give_the_same_bytes_and_another_seed_others(label):
    first = hne_image(label, Shape(96, 130), 0.5, 3)
    assert first.shape == (96, 130, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, hne_image(label, Shape(96, 130), 0.5, 3))
    assert (first != hne_image(label, Shape(96, 130), 0.5, 4)).mean() > 0.5


def test_classes_differ_for_one_seed():
    pictures = [hne_image(label, Shape(128, 128), 1.0, 5) for label in CLASSES]
    for i, a in enumerate(pictures):
        for b in pictures[i + 1 :]:
            assert np.abs(a.astype(int) - b).mean() > 8


@pytest.mark.parametrize("label", CLASSES)
def test_another_pixel_size_shows_the_same_tissue(label):
    fine = hne_image(label, Shape(512, 512), 0.5, 8).astype(np.float64)
    for factor in (2, 4):
        side = 512 // factor
        coarse = hne_image(label, Shape(side, side), 0.5 * factor, 8).astype(np.float64)
        averaged = fine.reshape(side, factor, side, factor, 3).mean(axis=(1, 3))
        for band in range(3):
            assert np.corrcoef(coarse[..., band].ravel(), averaged[..., band].ravel())[0, 1] > 0.93
        assert np.abs(coarse - averaged).mean() < 6
    other = hne_image(label, Shape(256, 256), 1.0, 9).astype(np.float64)[::2, ::2]
    assert np.corrcoef(other[..., 0].ravel(), averaged[..., 0].ravel())[0, 1] < 0.6


def test_nuclear_area_rises_with_cellularity(fields):
    area = mean_of(fields, lambda picture: nuclear(picture).mean())
    assert 1.8 * area["Normal"] < area["Benign"] < area["InSitu"] < 0.8 * area["Invasive"]
    assert area["Normal"] > 0.02
    assert max(area.values()) < 0.5


def test_only_normal_and_benign_tissue_has_wide_white_spaces(fields):
    def open_space(picture):
        return ndimage.binary_opening((picture > 222).all(axis=2), np.ones((13, 13))).mean()

    white = mean_of(fields, open_space)
    assert min(white["Normal"], white["Benign"]) > 2.5 * max(white["InSitu"], white["Invasive"])


def test_cells_in_situ_crowd_in_ducts_and_invasive_cells_spread(fields):
    def emptiest_and_fullest(picture):
        density = ndimage.uniform_filter(nuclear(picture).astype(float), 60)[30:-30, 30:-30]
        return np.quantile(density, 0.95) - np.quantile(density, 0.15)

    contrast = mean_of(fields, emptiest_and_fullest)
    assert contrast["InSitu"] > contrast["Invasive"] > contrast["Normal"]


def test_invasive_nuclei_are_the_most_uneven_in_size():
    def big_share(label):
        shares = []
        for seed in SEEDS:
            mask = nuclear(hne_image(label, FIELD, 0.5, seed, glass=0))
            disc = np.hypot(*np.mgrid[-10:11, -10:11]) <= 10.5
            shares.append(ndimage.binary_opening(mask, disc).sum() / mask.sum())
        return np.mean(shares)

    assert big_share("Invasive") > 2 * big_share("InSitu")


def test_colours_are_those_of_the_stains(fields):
    for pictures in fields.values():
        for picture in pictures:
            nuclei, rest = picture[nuclear(picture)].mean(axis=0), picture[~nuclear(picture)].mean(axis=0)
            assert nuclei[2] > nuclei[0] > nuclei[1], "nuclei are blue-violet"
            assert rest[0] > rest[2] > rest[1], "the rest is pink"


def test_glass_surrounds_the_tissue_only_when_asked_for():
    framed, full = (hne_image("InSitu", Shape(256, 256), 1.0, 2, glass=glass) for glass in (0.05, 0.0))
    border = np.ones((256, 256), dtype=bool)
    border[3:-3, 3:-3] = False
    assert (framed[border] > 225).all(axis=1).mean() > 0.9
    assert (full[border] > 225).all(axis=1).mean() < 0.4


def test_slides_of_one_seed_share_their_stain_and_other_seeds_do_not():
    def glass_colour(label, seed):
        return hne_image(label, Shape(200, 200), 1.0, seed, glass=0.2)[:2, :2].reshape(-1, 3).mean(axis=0)

    np.testing.assert_array_equal(glass_colour("Normal", 6), glass_colour("Invasive", 6))
    assert (glass_colour("Normal", 6) != glass_colour("Normal", 7)).any()


def test_one_pixel_is_enough():
    assert hne_image("Benign", Shape(1, 1), 0.25, 0).shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("label", "shape", "mpp", "seed", "glass", "error", "message"),
    [
        ("normal", Shape(8, 8), 0.5, 0, 0.0, ConfigError, "Normal, Benign, InSitu, Invasive"),
        ("Normal", Shape(0, 8), 0.5, 0, 0.0, RegionError, "at least one pixel"),
        ("Normal", Shape(8, 8), 0.0, 0, 0.0, RegionError, "positive"),
        ("Normal", Shape(8, 8), float("nan"), 0, 0.0, RegionError, "positive"),
        ("Normal", Shape(8, 8), 0.5, -1, 0.0, ConfigError, "seed"),
        ("Normal", Shape(8, 8), 0.5, 1.5, 0.0, ConfigError, "seed"),
        ("Normal", Shape(8, 8), 0.5, 0, 0.5, ConfigError, "glass"),
        ("Normal", Shape(20_000, 20_000), 0.5, 0, 0.0, RegionError, "memory"),
    ],
)
def test_bad_requests_are_refused_with_a_reason(label, shape, mpp, seed, glass, error, message):
    with pytest.raises(error, match=message):
        hne_image(label, shape, mpp, seed, glass=glass)
