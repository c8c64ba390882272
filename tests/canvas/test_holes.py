"""Holes and frames: what is made together, and what is seen with it."""

import numpy as np
import pytest

from infbrush_wsi.canvas.filler import FrameSizes
from infbrush_wsi.canvas.holes import Hole
from infbrush_wsi.canvas.inpainting import Patch, patched
from infbrush_wsi.domain import Box, Shape

AROUND = Box(10, 20, 100, 80)


def hole_of(*boxes, around=AROUND):
    inside = np.zeros((around.h, around.w), bool)
    for box in boxes:
        inside[box.relative_to(around).slices] = True
    return Hole(around, inside)


def test_a_tight_hole_is_the_same_hole():
    hole = hole_of(Box(30, 40, 7, 5))
    assert hole.tight().box == Box(30, 40, 7, 5)
    whole = Box(0, 0, 200, 200)
    np.testing.assert_array_equal(hole.tight().within(whole), hole.within(whole))
    assert hole_of().empty


@pytest.mark.parametrize(("gap", "parts"), [(7, 1), (8, 1), (9, 2), (30, 2)])
def test_parts_are_apart_by_more_than_the_distance(gap, parts):
    hole = hole_of(Box(20, 30, 5, 5), Box(25 + gap, 33, 4, 9))
    found = hole.separate(8)
    assert len(found) == parts
    whole = Box(0, 0, 200, 200)
    np.testing.assert_array_equal(sum(part.within(whole).astype(int) for part in found), hole.within(whole))


def test_the_hash_is_that_of_place_and_pixels():
    one = hole_of(Box(30, 40, 7, 5)).tight()
    others = [hole_of(Box(31, 40, 7, 5)).tight(), hole_of(Box(30, 40, 5, 7)).tight(), Hole(one.box, ~one.inside)]
    assert len({one.sha256, *(other.sha256 for other in others)}) == 4


def test_frames_bring_context_and_are_not_smaller_than_in_training():
    sizes = FrameSizes.of(1.0, 64)
    assert (sizes.context, sizes.core, sizes.least) == (32, 192, 64)
    image = Shape(1000, 1000)
    assert sizes.frame(Box(500, 500, 10, 20), image) == Box(468, 468, 74, 84)
    wide = FrameSizes.of(1.0, 256)
    frame = wide.frame(Box(500, 500, 10, 20), image)
    assert frame.w >= 256
    assert frame.h >= 256
    assert sizes.frame(Box(0, 990, 10, 10), image) == Box(0, 958, 42, 42)


@pytest.mark.parametrize(
    ("ratio", "window", "cell"), [(1.0, 64, 1), (0.5, 256, 1), (4.0, 64, 1), (1.0, 64, 4), (2.0, 512, 8)]
)
def test_cores_tile_a_box_in_frames_of_bounded_size(ratio, window, cell):
    sizes = FrameSizes.of(ratio, window, cell)
    box = Box(7, 3, 613, 410)
    cores, count = sizes.cores(box), np.zeros((box.h, box.w), int)
    for core in cores:
        count[core.relative_to(box).slices] += 1
        frame = sizes.frame(core, Shape(5000, 5000))
        assert frame.intersect(core) == core
        assert max(frame.w, frame.h) * cell <= max(512, 256 * ratio, window * ratio) + 2 * cell
    assert (count == 1).all()


def test_patches_lie_over_real_pixels():
    real = np.full((40, 50, 3), 7, np.uint8)
    patch = Patch(Hole(Box(95, 195, 20, 10), np.eye(10, 20, dtype=bool)), np.full((10, 20, 3), 99, np.uint8))
    seen = patched(real, Box(100, 200, 50, 40), [patch])
    rows, columns = np.nonzero((seen != 7).any(axis=2))
    np.testing.assert_array_equal(np.stack([rows, columns], 1), [[k, k] for k in range(5)])
    assert real.max() == 7
    assert patched(real, Box(300, 300, 50, 40), [patch]) is real
