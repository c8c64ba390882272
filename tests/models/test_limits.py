"""Networks that no computer holds are refused before anything is allocated."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from infbrush_wsi.errors import CheckpointError, ConfigError
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.models.limits import check_arguments
from infbrush_wsi.training.build import constructed


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 10**9},
        {"blocks": 10**6},
        {"grid_blocks": 1000},
        {"grid_pitch": float("nan")},
        {"grid_multipliers": [1, 2, 10**9]},
        {"networks": {"layers_per_block": 10**4}},
        {"classes": ["a"] * 100_000},
    ],
)
def test_arguments_beyond_any_network(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="x: "):
        check_arguments(arguments, "x")


def test_weights_beyond_any_memory_are_counted_and_not_made() -> None:
    started = time.process_time()
    with pytest.raises(ConfigError, match=r"parameters takes \d+ GiB"):
        constructed(InfBrushDenoiser, {"grid_width": 60_000, "grid_multipliers": (1, 4)})
    assert time.process_time() - started < 10


def test_what_does_not_go_together_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"model\.overrides"):
        constructed(InfBrushDenoiser, {"width": 8, "cano": "x"})


def model(make_pipeline: Any, folder: Path) -> Path:
    make_pipeline().save_pretrained(folder / "model")
    return folder / "model"


def test_a_model_that_would_be_built_for_ever_is_refused(make_pipeline: Any, tmp_path: Path) -> None:
    directory = model(make_pipeline, tmp_path)
    config = directory / "denoiser" / "config.json"
    for change in ({"blocks": 10**9}, {"width": float("inf")}):
        kept = config.read_text()
        config.write_text(json.dumps(json.loads(kept) | change))
        with pytest.raises(CheckpointError, match="cannot be made"):
            ModelBundle.load(directory, {"denoiser": InfBrushDenoiser})
        config.write_text(kept)
    for text in ("[" * 5000, "[]", "{"):
        config.write_text(text)
        with pytest.raises(CheckpointError, match="cannot be made"):
            ModelBundle.load(directory, {"denoiser": InfBrushDenoiser})


def test_pickled_weights_are_never_read(make_pipeline: Any, tmp_path: Path) -> None:
    directory = model(make_pipeline, tmp_path)
    weights = directory / "denoiser" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("other.safetensors"))
    (directory / "denoiser" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(CheckpointError, match="cannot load the weights"):
        ModelBundle.load(directory, {"denoiser": InfBrushDenoiser})


@pytest.mark.parametrize(
    "change", [{"spacing": [float("nan")]}, {"window": 0}, {"sigma": float("inf")}, {"channel_names": []}]
)
def test_a_record_of_no_model(make_pipeline: Any, change: dict[str, Any]) -> None:
    values = make_pipeline().info.to_dict()
    with pytest.raises(CheckpointError, match="the model's record needs"):
        ModelInfo.from_dict(values | change)
