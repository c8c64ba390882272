from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from infbrush_wsi.sources import ArraySource
from infbrush_wsi.sources.tissue import collar_mask, otsu, tissue_mask

PINK = np.array([200, 120, 180], dtype=np.uint8)


def glass(h: int, w: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return (242 + rng.integers(-3, 4, (h, w, 3))).astype(np.uint8)


def test_otsu_parts_two_classes_and_agrees_with_scikit_image() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(60, 8, 3000), rng.normal(170, 15, 1000)]).clip(0, 255).astype(np.uint8)
    assert 80 < otsu(values) < 140
    filters = pytest.importorskip("skimage.filters")
    assert otsu(values) == filters.threshold_otsu(values)


def test_tissue_is_found_on_glass() -> None:
    image = glass(100, 120)
    image[30:70, 40:90] = PINK + np.random.default_rng(1).integers(-15, 16, (40, 50, 1))
    mask = tissue_mask(image)
    assert mask[32:68, 42:88].all()
    assert not mask[:28].any()
    assert not mask[:, 93:].any()


def test_blank_glass_and_black_hold_no_tissue() -> None:
    assert not tissue_mask(np.full((50, 50, 3), 255, np.uint8)).any()
    assert not tissue_mask(glass(200, 200)).any()
    assert not tissue_mask(np.zeros((50, 50, 3), np.uint8)).any()


def test_a_field_full_of_tissue_is_not_split_in_two() -> None:
    image = np.broadcast_to(PINK, (80, 80, 3)).copy()
    image[:, 40:] = (140, 60, 140)
    assert tissue_mask(image).all()


def test_gray_slides_go_by_darkness() -> None:
    image = np.full((60, 60, 1), 240, np.uint8)
    image[20:40, 20:40] = 90
    np.testing.assert_array_equal(tissue_mask(image), image[..., 0] < 200)


def test_collars_touch_the_edge() -> None:
    image = np.full((100, 100, 3), 90, np.uint8)
    image[:10] = 2
    image[50:60, 50:60] = 0
    image[99, 99] = 0
    expected = np.ones((100, 100), bool)
    expected[:10] = False
    np.testing.assert_array_equal(collar_mask(image), expected)


def test_the_mask_of_a_source_is_small_and_placed() -> None:
    image = glass(400, 800)
    image[:, 400:] = PINK
    source = ArraySource(image, mpp=0.5, mask_kind="tissue")
    mask, lattice = source.mask(100)
    assert mask.shape == (50, 100) == lattice.shape.as_tuple()
    assert lattice.spacing.x == pytest.approx(4.0)
    assert (mask[:, :48].any(), mask[:, 52:].all()) == (False, True)
    assert source.mask(100, kind="valid")[0].all()
    assert ArraySource(image).mask(4000)[1].shape.as_tuple() == (400, 800)
