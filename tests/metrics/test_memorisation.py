"""Planted copies are caught, whatever was done to them; other real images are not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.errors import BandMismatchError, ConfigError, DatasetError
from infbrush_wsi.metrics import (
    CropRule,
    aligned_planes,
    check_memorisation,
    judge_memorisation,
    nearest_aligned,
    nearest_features,
)
from infbrush_wsi.metrics.aligned import Nearest
from infbrush_wsi.sources import ArraySource

SHARED = Path(os.environ.get("INFBRUSH_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
BREAKHIS = SHARED / "hne" / "breakhis_200x_224"
RECOLOURED = np.array([[0.75, 0.25, 0.05], [0.1, 0.8, 0.2], [0.25, 0.0, 0.7]])


def copies(tile: np.ndarray, other: np.ndarray) -> dict[str, np.ndarray]:
    """A tile changed in the ways that must not hide it."""
    side = len(tile)
    moved = other.copy()
    down, left = side // 4, side // 8
    moved[down:, : side - left] = tile[: side - down, left:]
    coloured = np.clip(tile @ RECOLOURED * 0.8 + 20, 0, 255).astype(np.uint8)
    noisy = np.clip(tile + np.random.default_rng(0).normal(0, 12, tile.shape), 0, 255).astype(np.uint8)
    return {
        "exact": tile,
        "shifted": moved,
        "flipped": tile[:, ::-1],
        "turned": np.rot90(tile),
        "recoloured": coloured,
        "inverted": 255 - tile,
        "noisy": noisy,
        "shifted, turned and recoloured": np.rot90(np.clip(moved @ RECOLOURED + 10, 0, 255).astype(np.uint8)),
    }


def stack(tiles: list[np.ndarray]) -> np.ndarray:
    return aligned_planes(np.stack(tiles))


@pytest.fixture
def sets(tissue):
    """Training, held-out and generated tiles of the same kind, all different."""
    made = [tissue(96, 96, 2.5, seed) for seed in range(110)]
    return made[:40], made[40:80], made[80:]


def test_every_kind_of_copy_is_found_with_its_original(sets, one_thread):
    training, held_out, _ = sets
    planted = copies(training[7], held_out[0])
    found = nearest_aligned(stack(list(planted.values())), stack(training))
    usual = nearest_aligned(stack(held_out), stack(training)).distance.min()
    for name, distance, index in zip(planted, found.distance, found.index, strict=True):
        assert index == 7, name
        assert distance < usual - 0.1, name


def test_the_check_passes_without_copies_and_fails_with_one_in_thirty(sets, one_thread):
    training, held_out, made = ([ArraySource(tile) for tile in tiles] for tiles in sets)
    clean = check_memorisation(made, training, held_out, rule=CropRule("whole", 96))
    assert clean.passed
    assert clean.copies == ()
    assert clean.share.value <= 0.1
    planted = copies(sets[0][3], sets[2][0])["flipped"]
    made[11] = ArraySource(np.ascontiguousarray(planted))
    caught = check_memorisation(made, training, held_out, rule=CropRule("whole", 96))
    assert not caught.passed
    assert caught.copies == (11,)
    assert caught.nearest[11] == 3
    assert caught.share.settings["rule"]["kind"] == "whole"
    assert caught.share.low <= caught.share.value <= caught.share.high


def test_a_copy_from_within_a_large_image_is_found_window_by_window(tissue, one_thread):
    slides = [tissue(320, 288, 2.5, seed) for seed in (1, 2, 3)]
    made = [tissue(96, 96, 2.5, seed) for seed in range(40, 46)]
    made[4] = np.rot90(slides[0][60:156, 130:226])[:, ::-1]
    sources = [ArraySource(np.ascontiguousarray(pixels)) for pixels in made]
    rule = CropRule("grid", 96)
    assert len(list(rule.samples(ArraySource(slides[0])))) == 6 * 5
    found = check_memorisation(sources, [ArraySource(slides[0])], [ArraySource(s) for s in slides[1:]], rule=rule)
    assert found.copies == (4,)
    assert not found.passed


def test_blocks_of_training_planes_do_not_matter(sets, monkeypatch, one_thread):
    from infbrush_wsi.metrics import aligned

    one, two = stack(sets[2][:5]), stack(sets[0])
    whole = nearest_aligned(one, two)
    monkeypatch.setattr(aligned, "BLOCK", 7)
    parts = nearest_aligned(one, two)
    np.testing.assert_allclose(parts.distance, whole.distance, atol=1e-5)
    np.testing.assert_array_equal(parts.index, whole.index)


def test_the_correlation_is_that_of_the_overlap(one_thread):
    """Against a plain double loop, on one pair and without orientations."""
    rng = np.random.default_rng(0)
    one, two = (aligned_planes(rng.integers(0, 255, (1, 32, 32, 3), np.uint8))[0] for _ in range(2))
    best = 0.0
    for turned in [np.rot90(one, k)[::flip] for k in range(4) for flip in (1, -1)]:
        for dy in range(-16, 17):
            for dx in range(-16, 17):
                a = turned[max(0, -dy) : 32 - max(0, dy), max(0, -dx) : 32 - max(0, dx)]
                b = two[max(0, dy) : 32 - max(0, -dy), max(0, dx) : 32 - max(0, -dx)]
                if a.size >= 512:
                    best = max(best, abs((a * b).sum()) / np.sqrt((a**2).sum() * (b**2).sum()))
    assert nearest_aligned(one[None], two[None]).distance[0] == pytest.approx(1 - best, abs=1e-4)


def test_empty_glass_is_no_copy_of_empty_glass(one_thread):
    glass = np.full((3, 64, 64, 3), 240, np.uint8)
    found = nearest_aligned(aligned_planes(glass), aligned_planes(glass))
    np.testing.assert_allclose(found.distance, 1.0)


def test_a_threshold_is_exceeded_by_chance_as_often_as_it_says():
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(100):
        real, made = rng.normal(1, 0.1, 200), rng.normal(1, 0.1, 300)
        passed += judge_memorisation(Nearest(made, np.zeros(300, np.int64)), real, quantile=0.05).passed
    assert passed >= 95
    made[:40] = 0.6
    assert not judge_memorisation(Nearest(made, np.zeros(300, np.int64)), real, quantile=0.05).passed


def test_nearest_features_are_those_of_a_plain_search():
    rng = np.random.default_rng(0)
    made, known = rng.normal(size=(30, 5)), rng.normal(size=(50, 5)) * np.array([1, 10, 1, 1, 0.1])
    found = nearest_features(made, known)
    apart = np.linalg.norm((made[:, None] - known) / known.std(axis=0), axis=2)
    np.testing.assert_array_equal(found.index, apart.argmin(axis=1))
    np.testing.assert_allclose(found.distance, apart.min(axis=1))


def test_what_gives_no_threshold_is_told(sets):
    training, held_out, made = ([ArraySource(tile) for tile in tiles[:5]] for tiles in sets)
    with pytest.raises(DatasetError, match="5 held-out samples"):
        check_memorisation(made, training, held_out)
    with pytest.raises(ConfigError, match="quantile"):
        judge_memorisation(Nearest(np.ones(3), np.zeros(3, np.int64)), np.ones(30), quantile=1.0)
    with pytest.raises(DatasetError, match="0 training"):
        nearest_aligned(stack(sets[0][:2]), np.zeros((0, 32, 32), np.float32))
    with pytest.raises(BandMismatchError):
        aligned_planes(np.zeros((1, 64, 64, 4), np.uint8))


@pytest.mark.shared_data
@pytest.mark.skipif(not BREAKHIS.is_dir(), reason="no sample data")
def test_copies_of_real_tissue_are_caught_and_other_patients_pass(one_thread):
    by_patient: dict[str, list[Path]] = {}
    for path in sorted(BREAKHIS.glob("*/*.*")):
        by_patient.setdefault(path.parent.name + path.name.rsplit("_", 1)[0], []).append(path)
    groups: list[list[np.ndarray]] = [[], [], []]
    for number, (_, paths) in enumerate(sorted(by_patient.items())):
        groups[number % 3] += [np.asarray(Image.open(path).convert("RGB")) for path in paths[:5]]
    training, held_out, made = (tiles[:60] for tiles in groups)
    assert min(len(training), len(held_out), len(made)) >= 40
    known = stack(training)
    real = nearest_aligned(stack(held_out), known).distance
    clean = judge_memorisation(nearest_aligned(stack(made), known), real)
    assert clean.passed
    planted = [copies(training[number], made[number]) for number in range(0, 40, 8)]
    for name in planted[0]:
        found = nearest_aligned(stack([each[name] for each in planted]), known)
        np.testing.assert_array_equal(found.index, range(0, 40, 8), err_msg=name)
        caught = judge_memorisation(
            Nearest(np.concatenate([clean.distance, found.distance]), np.zeros(0, np.int64)), real
        )
        assert not caught.passed, name
        assert set(range(len(made), len(made) + 5)) <= set(caught.suspicious), name
