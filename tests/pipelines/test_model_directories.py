"""A model directory is whole, or it is refused with one error."""

import json
import shutil

import pytest

from infbrush_wsi.errors import CheckpointError
from infbrush_wsi.pipelines.infbrush import InfBrushPipeline


@pytest.fixture(scope="module")
def saved(make_pipeline, tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved") / "model"
    make_pipeline().save_pretrained(directory)
    return directory


@pytest.fixture
def model(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


def edited(model, **changes):
    """The record with other values; None removes a key."""
    path = model / "infbrush.json"
    record = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in record.items() if value is not None}))


def weights(model):
    return next((model / "denoiser").glob("*.safetensors"))


def remove(name):
    def change(model):
        path = model / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def truncate(model):
    content = weights(model).read_bytes()
    weights(model).write_bytes(content[: len(content) // 2])


def flip(model):
    content = bytearray(weights(model).read_bytes())
    content[-3] ^= 1
    weights(model).write_bytes(content)


def other_network(model):
    path = model / "denoiser" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"width": 16}))


CHANGES = {
    "nothing there": (lambda model: shutil.rmtree(model), "not a model directory"),
    "no record": (remove("infbrush.json"), "not a model directory"),
    "no network": (remove("denoiser"), "safetensors"),
    "no weights": (lambda model: weights(model).unlink(), "holds 0"),
    "no configuration of the network": (remove("denoiser/config.json"), "config.json"),
    "truncated weights": (truncate, "do not match the hash"),
    "one bit of the weights": (flip, "do not match the hash"),
    "another network": (other_network, "cannot load the weights"),
    "record is no JSON": (lambda model: (model / "infbrush.json").write_text("{"), "not valid JSON"),
    "record is binary": (lambda model: (model / "infbrush.json").write_bytes(b"\xff\xfe\x00"), "not valid JSON"),
    "record is a list": (lambda model: (model / "infbrush.json").write_text("[]"), "JSON object"),
    "newer format": (lambda model: edited(model, format_version=2), "format 2"),
    "no format": (lambda model: edited(model, format_version=None), "format None"),
    "no hash": (lambda model: edited(model, weights_sha256=None), "do not match the hash"),
    "a field too many": (lambda model: edited(model, colour="red"), "unknown fields: colour"),
    "a field too few": (lambda model: edited(model, sigma=None), "sigma"),
    "a field of another type": (lambda model: edited(model, spacing="fine"), "spacing"),
    "no pixel size": (lambda model: edited(model, spacing=[]), "pixel sizes"),
    "a pixel size of zero": (lambda model: edited(model, spacing=[0.0]), "pixel sizes"),
    "no process": (lambda model: edited(model, process={}), "diffusion process"),
    "another process": (lambda model: edited(model, process={"data_mean": [0, 0, 0], "knots": 3}), "diffusion process"),
    "means that are words": (lambda model: edited(model, process={"data_mean": ["a", "b", "c"]}), "diffusion process"),
    "a deviation of zero": (lambda model: edited(model, process={"data_mean": [0, 0, 0], "data_std": 0}), "deviations"),
    "an unknown schedule": (
        lambda model: edited(model, process={"data_mean": [0, 0, 0], "schedule": "wavy"}),
        "diffusion process",
    ),
    "bands of another model": (lambda model: edited(model, channel_names=["Grey"]), "1 bands and 2 classes"),
    "classes of another model": (lambda model: edited(model, classes=["a", "b", "c"]), "3 bands and 3 classes"),
}


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_damaged_directory_is_refused(model, change):
    damage, message = CHANGES[change]
    damage(model)
    with pytest.raises(CheckpointError, match=message):
        InfBrushPipeline.from_pretrained(model)


def test_the_directory_that_was_damaged_above_was_good(model):
    (model / "notes.txt").write_text("other files do not matter")
    assert InfBrushPipeline.from_pretrained(model).classes == ("Normal", "Invasive")
