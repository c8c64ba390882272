"""Files that would run code if they were unpickled are refused, under every name by which this package opens files."""

from __future__ import annotations

import io
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from infbrush_wsi.canvas.plan_file import load_states
from infbrush_wsi.cli.likeness import embedding_from_file
from infbrush_wsi.conditioning.encoders.weights import load_weights
from infbrush_wsi.errors import InfbrushError
from infbrush_wsi.models.shipped import model_directory
from infbrush_wsi.pipelines.registry import open_pipeline
from infbrush_wsi.sources import open_source
from infbrush_wsi.training.checkpoint import read_state as read_checkpoint
from infbrush_wsi.training.config import RunConfig


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.trace,)


@pytest.fixture
def trace(tmp_path):
    return tmp_path / "it-ran"


@pytest.fixture(params=["pickle", "torch", "numpy"])
def bomb(request, trace):
    """The bytes of a file that holds one."""
    found = io.BytesIO()
    if request.param == "pickle":
        pickle.dump(Bomb(trace), found)
    elif request.param == "torch":
        torch.save({"weight": Bomb(trace)}, found)
    else:
        np.save(found, np.asarray([Bomb(trace)], dtype=object), allow_pickle=True)
    return found.getvalue()


def refused(call, *arguments, trace):
    with pytest.raises(InfbrushError):
        call(*arguments)
    assert not trace.exists()


def test_the_bomb_works(trace):
    pickle.loads(pickle.dumps(Bomb(trace)))
    assert trace.exists()


@pytest.mark.parametrize("name", ["infbrush.json", "denoiser/config.json", "denoiser/weights"])
def test_a_model(bomb, trace, tmp_path, name):
    model = tmp_path / "model"
    shutil.copytree(model_directory("hne-tiny"), model)
    file = next((model / "denoiser").glob("*.safetensors")) if name.endswith("weights") else model / name
    file.write_bytes(bomb)
    refused(open_pipeline, model, trace=trace)


def test_a_model_with_a_pickle_in_place_of_its_weights(bomb, trace, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(model_directory("hne-tiny"), model)
    weights = next((model / "denoiser").glob("*.safetensors"))
    weights.unlink()
    (model / "denoiser" / "diffusion_pytorch_model.bin").write_bytes(bomb)
    refused(open_pipeline, model, trace=trace)


def test_a_checkpoint(bomb, trace, tmp_path):
    (tmp_path / "state.json").write_bytes(bomb)
    refused(read_checkpoint, tmp_path, trace=trace)


def test_a_plan(bomb, trace, tmp_path):
    (tmp_path / "a.plan.safetensors").write_bytes(bomb)
    refused(load_states, tmp_path / "a.plan.safetensors", "token", trace=trace)


@pytest.mark.parametrize("name", ["a.svs", "a.png", "a.ome.zarr/zarr.json", "a.ome.zarr/.zattrs"])
def test_a_source(bomb, trace, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bomb)
    refused(open_source, tmp_path / name.split("/")[0], trace=trace)


def test_an_embedding(bomb, trace, tmp_path):
    (tmp_path / "a.npy").write_bytes(bomb)
    refused(embedding_from_file, tmp_path / "a.npy", trace=trace)


def test_weights_of_an_encoder(bomb, trace, tmp_path):
    (tmp_path / "a.pth").write_bytes(bomb)
    refused(load_weights, torch.nn.Linear(1, 1), tmp_path / "a.pth", "linear", trace=trace)


def test_a_configuration_in_yaml(trace, tmp_path):
    (tmp_path / "run.yaml").write_text(f"data: !!python/object/apply:pathlib.Path.touch ['{trace}']\n")
    refused(RunConfig.from_yaml, tmp_path / "run.yaml", trace=trace)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_are_only_tensors_are_read(tmp_path, suffix):
    found, network = {"weight": torch.full((1, 1), 3.0), "bias": torch.ones(1)}, torch.nn.Linear(1, 1)
    (save_file if suffix == ".safetensors" else torch.save)(found, tmp_path / f"a{suffix}")
    load_weights(network, tmp_path / f"a{suffix}", "linear")
    assert network.weight.item() == 3.0
