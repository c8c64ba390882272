"""A plan swept together from tiles is the one from all pixels at once, and the joint image."""

import numpy as np
import pytest

from infbrush_wsi.canvas import dense_plan, proxy_error
from infbrush_wsi.canvas import plan as plans
from infbrush_wsi.canvas.state_bytes import to_tensors
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import RegionError

CALL = {"condition": "Invasive", "size": (75, 62), "seed": 5, "num_inference_steps": 3, "plan_density": 1.0}


@pytest.fixture
def small_tiles(monkeypatch):
    """What a canvas of millions of pixels meets, on one of a few thousand."""
    monkeypatch.setattr(plans, "SWEEP_PIXELS", 1000)
    monkeypatch.setattr(proxy_error, "SWEEP_PIXELS", 1000)
    monkeypatch.setattr(dense_plan, "TILE", 32)


def clean(canvas):
    shape = canvas.spec.shape
    return canvas.reader.level(0).read_clean(Box(0, 0, shape.w, shape.h))


@pytest.mark.parametrize("model", ["ours", "published"])
@pytest.mark.parametrize("options", [{}, {"guidance_scale": 1.5}, {"scheduler": "ddim", "eta": 0.5}], ids=str)
def test_a_swept_plan_is_the_one_from_all_pixels_at_once(make_pipeline, paper_like, monkeypatch, model, options):
    pipeline = make_pipeline(**(paper_like if model == "published" else {}))
    call = CALL | options
    at_once = pipeline(**call)
    expected = to_tensors(at_once.reader.plan.state(at_once.reader.stages[0], (0, 0)))
    monkeypatch.setattr(plans, "SWEEP_PIXELS", 1000)
    monkeypatch.setattr(dense_plan, "TILE", 32)
    canvas, told = pipeline(**call), []
    canvas.render(lambda done, total: told.append((done, total)))
    found = to_tensors(canvas.reader.plan.state(canvas.reader.stages[0], (0, 0)))
    assert len(told) > 3 * 6
    assert told[-1][0] == told[-1][1]
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_allclose(found[name].float(), tensor.float(), rtol=2e-3, atol=2e-3, err_msg=name)


def test_tiles_by_a_swept_plan_are_the_joint_image(make_pipeline, small_tiles):
    pipeline = make_pipeline()
    canvas = pipeline(**CALL, tile=32, halo="exact")
    joint = pipeline(**CALL | {"plan_density": None}, engine="joint")
    expected = np.array(joint.reader._engine(joint.reader.folder).render().open())
    np.testing.assert_allclose(clean(canvas), expected, rtol=0, atol=2e-4)


def test_sweeping_leaves_no_file(make_pipeline, small_tiles):
    canvas = make_pipeline()(**CALL)
    canvas.render()
    assert not [path for path in canvas.reader.folder.rglob("*") if path.suffix == ".raw" or "dense" in path.name]


def test_the_error_of_a_plan_is_measured_by_a_sweep_as_at_once(make_pipeline, monkeypatch):
    pipeline = make_pipeline()
    call = CALL | {"plan_density": None}
    at_once = pipeline(**call).proxy_error()[0]
    monkeypatch.setattr(plans, "SWEEP_PIXELS", 1000)
    monkeypatch.setattr(dense_plan, "TILE", 32)
    swept = pipeline(**call).proxy_error()[0]
    assert at_once.grey_levels > 0.5
    assert swept.grey_levels == pytest.approx(at_once.grey_levels, rel=1e-2)
    np.testing.assert_allclose(swept.grid, at_once.grid, rtol=1e-2)


def test_frames_too_large_for_memory_and_for_a_sweep_are_not_measured(make_pipeline, small_tiles):
    canvas = make_pipeline()(**CALL | {"plan_density": None, "size": (200, 200)}, frame=64)
    with pytest.raises(RegionError, match="64 x 64 pixels cannot be run"):
        canvas.proxy_error()
