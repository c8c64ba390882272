"""A plan made from all pixels is the joint evaluation; a plan is the same whoever computes it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from infbrush_wsi.canvas.plan import frame_key
from infbrush_wsi.canvas.state_bytes import to_tensors
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConfigError

CALL = {"condition": "Invasive", "size": (72, 64), "seed": 5, "num_inference_steps": 3}
ALL_POINTS = {"training": {"steps": 12, "images": 3, "points": 32 * 32}}
ROUNDING = 2e-4
"""Of values between -1 and 1: a fortieth of a grey level; measured at most 1e-4."""


def image(canvas):
    return canvas.read_region((0, 0), 0, canvas.level_shapes[0][::-1]).astype(int)


def assert_plan_is_joint(pipeline, **call):
    """Between them are the rounding of the plan to float16 and the reach of the Wiener inverse."""
    canvas, joint = pipeline(**CALL | call, tile=32, halo="exact"), pipeline(**CALL | call, engine="joint")
    shape = canvas.spec.shape
    clean = canvas.reader.level(0).read_clean(Box(0, 0, shape.w, shape.h))
    expected = np.array(joint.reader._engine(joint.reader.folder).render().open())
    assert expected.std() > 0.05
    np.testing.assert_allclose(clean, expected, rtol=0, atol=ROUNDING)
    assert np.abs(image(canvas) - image(joint)).max() <= 1


@pytest.mark.parametrize("transfer", ["splat", "knn"])
@pytest.mark.parametrize("position", ["cell", "extent"])
@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_a_plan_of_all_pixels_gives_the_joint_image(make_pipeline, transfer, position, guidance):
    pipeline = make_pipeline(transfer=transfer, position=position, info=ALL_POINTS)
    assert_plan_is_joint(pipeline, guidance_scale=guidance)


@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_so_does_the_published_model(make_pipeline, paper_like, guidance):
    assert_plan_is_joint(make_pipeline(info=ALL_POINTS, **paper_like), guidance_scale=guidance)


@pytest.mark.parametrize("sampler", [{"scheduler": "ddim"}, {"scheduler": "ddim", "eta": 0.5}], ids=str)
def test_so_does_any_sampler(make_pipeline, sampler):
    assert_plan_is_joint(make_pipeline(info=ALL_POINTS), **sampler)


def test_all_points_can_be_asked_for_whatever_training_had(make_pipeline):
    assert_plan_is_joint(make_pipeline(), plan_density=1.0)


def test_a_plan_of_some_pixels_is_an_estimate(make_pipeline):
    """The comparison can fail: with a quarter of the points the image is another one, though of the same look."""
    pipeline = make_pipeline()
    some, joint = image(pipeline(**CALL, tile=32, halo="exact")), image(pipeline(**CALL, engine="joint"))
    assert np.abs(some - joint).max() > 1
    assert np.corrcoef(some.ravel(), joint.ravel())[0, 1] > 0.9


FRAMES = {"size": (150, 100), "frame": 32, "num_inference_steps": 2}


def all_states(canvas, order=1, threads=1):
    """Every tensor of every frame of every stage, asked for in some order."""
    plan = canvas.reader.plan
    asked = [
        (stage, (i, j))
        for stage in plan.stages
        for i in range(stage.frames.shape.h)
        for j in range(stage.frames.shape.w)
    ][::order]
    with ThreadPoolExecutor(threads) as pool:
        states = list(pool.map(lambda one: plan.state(*one), asked))
    return {frame_key(*one): to_tensors(state) for one, state in zip(asked, states, strict=True)}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("threads", [1, 4])
def test_frames_do_not_depend_on_order_or_threads(make_pipeline, order, threads):
    pipeline = make_pipeline()
    expected = all_states(pipeline(**CALL | FRAMES))
    assert len(expected) > 10
    found = all_states(pipeline(**CALL | FRAMES), order, threads)
    assert found.keys() == expected.keys()
    for key, tensors in expected.items():
        assert all(torch.equal(tensor, found[key][name]) for name, tensor in tensors.items()), key


def test_guided_frames_agree_with_the_coarser_stage(make_pipeline):
    """Averaged over the cells of the guidance, the points of a frame show what the coarser stage shows there."""
    pipeline = make_pipeline(info=ALL_POINTS)
    off = {}
    for coarse in (True, False):
        canvas = pipeline(**CALL | FRAMES, coarse=coarse, scheduler="ddim")
        plan = canvas.reader.plan
        means = []
        for frame in ((0, 0), (1, 1), (2, 3)):
            cloud = plan.clouds(plan.stages[0], [frame])
            means.append((cloud.values * cloud.weight[:, None]).sum(0) / cloud.weight.sum())
        off[coarse] = means
    guided_by = pipeline(**CALL | FRAMES, scheduler="ddim").reader.plan
    box = [guided_by.stages[0].frames.box(frame) for frame in ((0, 0), (1, 1), (2, 3))]
    pitch = guided_by.stages[0].pitch / guided_by.stages[1].factor
    top = guided_by.clouds(guided_by.stages[1], [(0, 0)])
    distance = {True: 0.0, False: 0.0}
    for k, nodes in enumerate(box):
        low, high = np.array([nodes.y0, nodes.x0]) * pitch, np.array([nodes.y1, nodes.x1]) * pitch
        inside = ((top.where >= low) & (top.where < high)).all(axis=1)
        target = top.values[inside].mean(axis=0)
        for coarse in off:
            distance[coarse] += float(np.abs(off[coarse][k] - target).max())
    assert distance[True] < 0.5 * distance[False]


def test_models_that_attend_to_all_points_have_one_frame(make_pipeline, paper_like):
    pipeline = make_pipeline(**paper_like)
    with pytest.raises(ConfigError, match="attends to all points"):
        pipeline("Normal", (600, 600), frame=128)
    with pytest.raises(ConfigError, match="attends to all points"):
        pipeline("Normal", (20_000, 20_000))
    pipeline("Normal", (20_000, 20_000), engine="joint")
    assert pipeline("Normal", (600, 600)).reader.stages[0].frames.count == 1
