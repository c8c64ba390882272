"""A level travels to another process as a recipe: the network stays, the bytes are the same."""

import gc
import pickle
import shutil

import numpy as np
import pytest

from infbrush_wsi.canvas import Canvas
from infbrush_wsi.errors import CheckpointError, ConfigError, PlanError
from infbrush_wsi.pipelines import recipe
from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

CALL = {
    "condition": "Invasive",
    "size": (70, 48),
    "seed": 7,
    "num_inference_steps": 2,
    "guidance_scale": 1.5,
    "tile": 32,
}


@pytest.fixture(autouse=True)
def _no_canvas_of_other_tests():
    """As in a process that has opened nothing yet."""
    recipe._CANVASES.clear()
    recipe._pipeline.cache_clear()


@pytest.fixture
def directory(make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def opened(data):
    return pickle.loads(data)


@pytest.mark.parametrize("kept", ["memory", "directory"])
@pytest.mark.parametrize("engine", ["lazy", "joint"])
def test_a_level_that_was_pickled_gives_the_same_bytes(make_pipeline, directory, kept, engine):
    pipeline = make_pipeline() if kept == "memory" else InfBrushPipeline.from_pretrained(directory)
    array = pipeline(**CALL, engine=engine).level_array(0)
    data = pickle.dumps(array)
    assert len(data) < 4000
    again = opened(data)
    assert again.canvas is not array.canvas
    assert again.canvas.token == array.canvas.token
    assert again.shape == array.shape
    np.testing.assert_array_equal(again[...], array[...])
    further = pickle.dumps(again)
    recipe._CANVASES.clear()
    np.testing.assert_array_equal(opened(further)[5:9, 3], array[5:9, 3])


def test_levels_of_one_canvas_are_opened_as_one_canvas(directory):
    canvas = InfBrushPipeline.from_pretrained(directory)(**CALL | {"size": (300, 40)})
    one, other = (opened(pickle.dumps(canvas.level_array(level))) for level in (0, 1))
    assert one.canvas is other.canvas
    assert len(recipe._CANVASES) == 1


def test_a_process_keeps_a_few_canvases(directory):
    pipeline = InfBrushPipeline.from_pretrained(directory)
    arrays = [opened(pickle.dumps(pipeline(**CALL | {"seed": seed}).level_array(0))) for seed in range(6)]
    assert not recipe._CANVASES  # nothing is opened before it is read
    for array in arrays:
        array[0, 0]
    assert len(recipe._CANVASES) == recipe.KEPT_CANVASES
    assert len({array.canvas.token for array in arrays}) == 6


def test_models_in_memory_that_go_by_the_same_name_are_told_apart(make_pipeline):
    one, other = make_pipeline(seed=0), make_pipeline(seed=0)
    for parameter in other.denoiser.parameters():
        parameter.data.mul_(1.5)
    arrays = [pipeline(**CALL).level_array(0) for pipeline in (one, other)]
    found = [opened(pickle.dumps(array))[...] for array in arrays]
    np.testing.assert_array_equal(found[0], arrays[0][...])
    np.testing.assert_array_equal(found[1], arrays[1][...])
    assert (found[0] != found[1]).any()


def test_a_model_that_was_replaced_is_refused(make_pipeline, directory):
    data = pickle.dumps(InfBrushPipeline.from_pretrained(directory)(**CALL).level_array(0))
    make_pipeline(seed=1).save_pretrained(directory)
    with pytest.raises(PlanError, match="another image"):
        opened(data)[0]
    assert not recipe._CANVASES


def test_a_model_that_is_gone_is_told(directory):
    data = pickle.dumps(InfBrushPipeline.from_pretrained(directory)(**CALL).level_array(0))
    shutil.rmtree(directory)
    with pytest.raises(CheckpointError, match="no model directory"):
        opened(data)[0]


def test_a_canvas_that_no_pipeline_made_cannot_travel(make_pipeline):
    made = make_pipeline()(**CALL)
    plain = Canvas(made.spec, lambda folder: made.reader, sigma_px=1.0, channel_names=made.channel_names)
    with pytest.raises(ConfigError, match="pipeline"):
        pickle.dumps(plain.level_array(0))


def test_the_copy_of_a_model_in_memory_goes_with_its_canvas(make_pipeline, tmp_path):
    canvas = make_pipeline()(**CALL, workdir=tmp_path / "scratch")
    pickle.dumps(canvas.level_array(0))
    pickle.dumps(canvas.level_array(0))
    assert len(list((tmp_path / "scratch").rglob("*.safetensors"))) == 1
    del canvas
    gc.collect()
    assert list((tmp_path / "scratch").iterdir()) == []
