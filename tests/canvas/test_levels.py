"""Where a lazy canvas takes the pixels of its levels from, and what they have to do with each other."""

import numpy as np
import pytest

from infbrush_wsi.canvas.averaged_level import AveragedLevel
from infbrush_wsi.canvas.level import Level
from infbrush_wsi.canvas.scattered_level import ScatteredLevel
from infbrush_wsi.domain import Box

CALL = {"condition": "Invasive", "seed": 3, "num_inference_steps": 2, "tile": 64}
DENSITY = {"training": {"steps": 12, "images": 3, "points": 32 * 32}}


def kinds(canvas):
    return [type(canvas.reader.level(k)) for k in range(canvas.level_count)]


def whole(canvas, level):
    h, w = canvas.level_shapes[level]
    return canvas.read_region((0, 0), level, (w, h))


@pytest.fixture(scope="module")
def lazy(make_pipeline):
    """Three levels: evaluated, averaged, read off the plan's points."""
    return make_pipeline()(**CALL, size=(613, 41))


def test_a_canvas_of_one_stage(lazy):
    assert lazy.level_shapes == ((41, 613), (21, 307), (11, 154))
    assert kinds(lazy) == [Level, AveragedLevel, ScatteredLevel]
    assert [lazy.reader.averaged(k) for k in range(3)] == [False, True, False]
    for k, (h, w) in enumerate(lazy.level_shapes):
        assert (lazy.reader.level(k).shape.h, lazy.reader.level(k).shape.w) == (h, w)
        assert whole(lazy, k).shape == (h, w, 3)


def test_an_averaged_level_is_the_two_by_two_means_of_the_finer_one(lazy):
    fine, coarse = whole(lazy, 0).astype(float), whole(lazy, 1)
    padded = np.pad(fine, ((0, 1), (0, 1), (0, 0)), constant_values=np.nan)
    cells = padded.reshape(21, 2, 307, 2, 3).transpose(0, 2, 4, 1, 3).reshape(21, 307, 3, 4)
    np.testing.assert_array_equal(coarse, np.floor(np.nanmean(cells, axis=-1) + 0.5))


def test_a_window_of_an_averaged_level_asks_for_the_cells_under_it_only(make_pipeline):
    canvas = make_pipeline()(**CALL, size=(613, 41))
    asked = []
    finer, level = canvas.reader.level(0), canvas.reader.level(1)
    recording = type(
        "Recording", (), {"shape": finer.shape, "read": lambda _, box: asked.append(box) or finer.read(box)}
    )
    found = AveragedLevel(level.shape, recording()).read(Box(299, 17, 8, 4))
    assert asked == [Box(598, 34, 15, 7)]
    np.testing.assert_array_equal(found, whole(canvas, 1)[17:21, 299:307])


def test_a_level_of_plan_points_shows_the_finer_levels(make_pipeline):
    """With all pixels in the plan each pixel is a weighted mean of those in and around its cell."""
    canvas = make_pipeline(info=DENSITY)(**CALL, size=(613, 82), halo="exact")
    assert kinds(canvas) == [Level, ScatteredLevel, ScatteredLevel]
    clean = canvas.reader.level(0).read_clean(Box(0, 0, 612, 80))
    grey = (clean.clip(-1, 1) + 1) * 127.5
    for level in (1, 2):
        cells = grey.reshape(80 // 2**level, 2**level, 612 // 2**level, 2**level, 3).mean(axis=(1, 3))
        found = whole(canvas, level)[: cells.shape[0], : cells.shape[1]].astype(float)
        assert np.abs(found.mean(axis=(0, 1)) - cells.mean(axis=(0, 1))).max() < 1
        assert np.corrcoef(found.ravel(), cells.ravel())[0, 1] > 0.9


def test_a_level_of_few_plan_points_has_their_mean(lazy):
    plan = lazy.reader.plan
    cloud = plan.clouds(plan.stages[0], [(0, 0)])
    mean = np.average((cloud.values.clip(-1, 1) + 1) * 127.5, axis=0, weights=cloud.weight)
    assert np.abs(whole(lazy, 2).mean(axis=(0, 1)) - mean).max() < 4  # pixels weigh alike, points do not


def band_correlation(one, other):
    """Lowest correlation of a band; bands have means of their own, which would make all images look alike."""
    pairs = zip(one.reshape(-1, 3).T, other.reshape(-1, 3).T, strict=True)
    return min(np.corrcoef(a, b)[0, 1] for a, b in pairs)


def test_levels_of_a_canvas_in_frames_come_from_its_coarser_stages(make_pipeline):
    pipeline, size = make_pipeline(info=DENSITY), {"size": (613, 70), "frame": 64}
    canvas = pipeline(**CALL, **size)
    stages = canvas.reader.stages
    assert [stage.factor for stage in stages] == [1.0, 2.0]
    levels = [canvas.reader.level(k) for k in range(3)]
    assert levels[0].lens.stage == stages[0]
    assert (levels[1].lens.stage, levels[1].lens.ratio) == (stages[1], 1.0)
    coarse = whole(canvas, 1).astype(float)[:32, :304].reshape(8, 4, 76, 4, 3).mean(axis=(1, 3))
    alike = {}
    for guided in (True, False):
        fine = whole(pipeline(**CALL, **size, coarse=guided), 0).astype(float)
        cells = fine[:64, :608].reshape(8, 8, 76, 8, 3).mean(axis=(1, 3))  # those of the guidance
        alike[guided] = band_correlation(cells, coarse)
    assert alike[True] > 0.5 > alike[False] + 0.3, alike


@pytest.mark.parametrize("max_side", [5000, 613, 400, 307, 200, 154, 60, 7, 1])
def test_a_thumbnail_has_the_longer_side_asked_for(lazy, max_side):
    image = lazy.thumbnail(max_side)
    longer = min(max_side, 613)
    assert image.shape[1:] == (longer, 3)
    assert abs(image.shape[0] - 41 * longer / 613) < 1
    source = [k for k, (_, w) in enumerate(lazy.level_shapes) if w >= longer][-1]
    assert np.abs(image.mean(axis=(0, 1)) - whole(lazy, source).mean(axis=(0, 1))).max() < 6


@pytest.mark.parametrize(
    ("max_side", "size"), [(1000, (70, 613)), (400, (46, 400)), (310, (35, 310)), (100, (18, 154))]
)
def test_an_overview_of_a_canvas_in_frames_is_as_large_as_asked_where_a_stage_has_the_pixels(
    make_pipeline, max_side, size
):
    """Else it is the next larger level, and the thumbnail made of it has the size in any case."""
    canvas = make_pipeline()(**CALL, size=(613, 70), frame=64)
    assert canvas.reader.overview(max_side).shape == (*size, 3)
    assert canvas.thumbnail(max_side).shape[1] == min(max_side, 613)


@pytest.mark.parametrize("max_side", [300, 1000])
def test_a_thumbnail_of_a_giant_canvas_costs_its_coarsest_stage(make_pipeline, max_side):
    """A metre of half-micrometre pixels, of which no more than a stage of 512 pixels is ever looked at."""
    canvas = make_pipeline()(**CALL | {"num_inference_steps": 1}, size=(2_000_000, 300_000), halo=4)
    image = canvas.thumbnail(max_side)
    assert image.shape[1] == min(max_side, 489)
    assert image.std() > 5
    plan = canvas.reader.plan
    assert plan.has(plan.stages[-1], (0, 0))
    assert not any(plan.has(stage, (0, 0)) for stage in plan.stages[:-1])
