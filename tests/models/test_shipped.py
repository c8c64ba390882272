"""Models that come with the package, by name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from infbrush_wsi import InfBrushPipeline
from infbrush_wsi.errors import CheckpointError
from infbrush_wsi.models import shipped
from infbrush_wsi.models.shipped import model_directory, shipped_models

ABSOLUTE = re.compile(r"[\"\s](?:/|[A-Z]:\\\\)(?:home|root|tmp|Users|work|usr|opt|var|mnt|srv)\b")
LARGEST = 12 << 20


def test_names_stand_for_directories(make_pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    make_pipeline().save_pretrained(tmp_path / "weights" / "some-tiny")
    assert shipped_models() == ("some-tiny",)
    assert model_directory("some-tiny") == tmp_path / "weights" / "some-tiny"
    assert InfBrushPipeline.from_pretrained("some-tiny").bundle.directory == tmp_path / "weights" / "some-tiny"
    assert model_directory("other") == Path("other")
    assert model_directory("../weights/some-tiny") == Path("../weights/some-tiny")
    (tmp_path / "some-tiny").mkdir()
    assert model_directory("some-tiny") == Path("some-tiny")
    with pytest.raises(CheckpointError, match="or one of some-tiny"):
        InfBrushPipeline.from_pretrained("some-tiny")


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_is_small_complete_and_generates(name):
    folder = model_directory(name)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LARGEST
    assert {"README.md", "samples.jpg", "training.csv", "metrics.json"} <= {path.name for path in files}
    for path in files:
        if path.suffix in (".json", ".md", ".csv"):
            assert not ABSOLUTE.search(path.read_text()), path
    card = (folder / "README.md").read_text()
    assert all(f"`{label}`" in card for label in InfBrushPipeline.from_pretrained(name).classes)
    pipeline = InfBrushPipeline.from_pretrained(name)
    pictures = [
        pipeline(label, size=(48, 40), seed=1, num_inference_steps=2).read_region((0, 0), 0, (48, 40))
        for label in pipeline.classes
    ]
    assert pictures[0].shape == (40, 48, len(pipeline.info.channel_names))
    assert not np.array_equal(pictures[0], pictures[1])


def test_weights_stored_as_half_give_nearly_the_same_image(make_pipeline, tmp_path):
    pipeline = make_pipeline()
    for half in (False, True):
        pipeline.save_pretrained(tmp_path / str(half), half=half)
    sizes = [next((tmp_path / str(half)).rglob("*.safetensors")).stat().st_size for half in (False, True)]
    assert 0.45 < sizes[1] / sizes[0] < 0.6
    loaded = InfBrushPipeline.from_pretrained(tmp_path / "True")
    assert {str(parameter.dtype) for parameter in loaded.denoiser.parameters()} == {"torch.float32"}
    assert {str(parameter.dtype) for parameter in pipeline.denoiser.parameters()} == {"torch.float32"}
    one, two = (
        p("Normal", size=(40, 36), num_inference_steps=3).read_region((0, 0), 0, (40, 36)).astype(int)
        for p in (pipeline, loaded)
    )
    assert 0 < np.abs(one - two).mean() < 2
    stored, record = (json.loads((tmp_path / str(half) / "infbrush.json").read_text()) for half in (False, True))
    assert stored.pop("weights_sha256") != record.pop("weights_sha256")
    assert stored == record
