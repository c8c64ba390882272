"""Models of all systems by command: two stages, latents of images, and what takes only some of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infbrush_wsi.augment import SyntheticDataset
from infbrush_wsi.augment.synthesis import Synthesis
from infbrush_wsi.cli.provenance import record_of
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.models.bundle import read_info
from infbrush_wsi.pipelines.registry import open_pipeline
from infbrush_wsi.plugins.napari.request import SlideRequest
from infbrush_wsi.sources import open_source
from tests.infd_model import small_bundle

Cli = Callable[..., Any]
NETWORK = "width: 8, blocks: 1, grid_side: 16, grid_width: 8, grid_multipliers: [1, 2], embedding_width: 16"
FIELD = (
    "{autoencoder: {networks: {down_block_types: [DownEncoderBlock2D, DownEncoderBlock2D], up_block_types: "
    "[UpDecoderBlock2D, UpDecoderBlock2D], block_out_channels: [8, 16], layers_per_block: 1, norm_num_groups: 4, "
    "latent_channels: 3, mid_block_add_attention: false}, width: 16, blocks: 1}, losses: {adversarial: 0, "
    "perceptual: 0}, denoiser: {width: 16, multipliers: [1, 2], blocks: 1, head: 8}}"
)
SMALL = ("--window", 32, "--points", 256, "--batch", 2, "--workers", 0)
GENERATED = ("--size", "32x32", "--steps", 2)


def made(cli: Cli, *call: object) -> Any:
    result = cli(*call)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def run() -> Cli:
    from typer.testing import CliRunner

    from infbrush_wsi.cli import app

    return lambda *call: CliRunner().invoke(app, [str(part) for part in call])


@pytest.fixture(scope="module")
def diff(run: Cli, slides: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """An autoencoder of ∞-Diff, and what the command said."""
    out = tmp_path_factory.mktemp("diff") / "first"
    overrides = f"model.overrides={{{NETWORK}, latent_dim: 6}}"
    call = ("train", "--source", slides, "--steps", 2, "--system", "infdiff", *SMALL, "--set", overrides)
    return out, made(run, *call, "--out", out)


@pytest.fixture(scope="module")
def multilevel(run: Cli, slides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("multilevel") / "model"
    overrides = "model.overrides={width: 8, multipliers: [1, 2], embedding_width: 16}"
    call = ("train", "--source", slides, "--steps", 2, "--system", "multilevel", *SMALL, "--set", overrides)
    made(run, *call, "--out", out)
    return out


def test_an_autoencoder_says_how_its_latents_are_learnt_and_the_second_stage_generates(cli, diff, tmp_path):
    first, result = diff
    assert "a trained autoencoder" in result.stdout
    call = f"infbrush train --system infdiff-latent --autoencoder {first} "
    assert f"learn its latents with: {call}" in result.stderr
    second = tmp_path / "second"
    settings = ("--set", "model.overrides={hidden: 16, layers: 3}", "--set", "model.latents=6")
    told = made(
        cli, "train", "--system", "infdiff-latent", "--autoencoder", first, "--steps", 2, *settings, "--out", second
    )
    assert f"generate with: infbrush generate {second} " in told.stderr
    assert read_info(second).system == "infdiff"
    config = json.loads(json.dumps(read_info(second).training["latent"]["config"]))
    assert (config["data"]["window"], config["optim"]["batch"]) == (32, 256)
    images = []
    for seed in (1, 2):
        made(cli, "generate", second, "--out", tmp_path / f"{seed}.ome.zarr", *GENERATED, "--seed", seed)
        with open_source(tmp_path / f"{seed}.ome.zarr") as source:
            images.append(source.read_region((0, 0), 0, (32, 32)))
    assert (images[0] != images[1]).any()


def test_a_field_says_so_too(cli, slides, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    overrides = ("--set", f"model.overrides={FIELD}")
    call = ("train", "--source", slides, "--mpp", "1,2", "--steps", 2, "--system", "infd", *SMALL, *overrides)
    result = made(cli, *call, "--out", first)
    assert f"learn its latents with: infbrush train --system infd-latent --autoencoder {first} " in result.stderr
    assert not (first / "denoiser").exists()
    result = cli("generate", first, "--out", tmp_path / "no.ome.zarr", *GENERATED)
    assert result.exit_code == 1
    assert "second stage" in result.output
    call = ("train", "--system", "infd-latent", "--autoencoder", first, "--steps", 2, "--batch", 2, *overrides)
    result = made(cli, *call, "--out", second)
    assert "generate with: " in result.stderr
    assert read_info(second).spacing == (1.0, 2.0)
    made(cli, "generate", second, "--out", tmp_path / "out.ome.zarr", *GENERATED, "--mpp", 1)


def test_the_latent_of_a_reference_is_the_condition(cli, diff, slides, tmp_path):
    first, slide = diff[0], slides / "Benign" / "Benign.tif"
    options = ("--reference", slide, "--reference-region", "10,20,64,48")
    made(cli, "generate", first, "--out", tmp_path / "like.ome.zarr", *GENERATED, *options, "--guidance", 1)
    pipe = open_pipeline(first)
    latent = pipe.encode(slide, (10, 20), (64, 48))
    expected = pipe(latent, (32, 32), num_inference_steps=2).read_region((0, 0), 0, (32, 32))
    with open_source(tmp_path / "like.ome.zarr") as source:
        np.testing.assert_array_equal(source.read_region((0, 0), 0, (32, 32)), expected)
    fill = ("--mask", "60,50,24,20", "--region", "20,20,120,100", "--steps", 2, "--rounds", 1)
    made(cli, "inpaint", first, slide, "--out", tmp_path / "plain.png", *fill)
    made(cli, "inpaint", first, slide, "--out", tmp_path / "like.png", *fill, *options)
    plain, like = (open_source(tmp_path / f"{name}.png") for name in ("plain", "like"))
    record = record_of(like)
    assert record is not None
    assert (record["system"], record["condition"]) == ("infdiff", "embedding")
    different = (plain.read_region((0, 0), 0, (120, 100)) != like.read_region((0, 0), 0, (120, 100))).any(axis=2)
    assert different[30:50, 40:64].any()
    different[30:50, 40:64] = False
    assert not different.any()


def test_upscaling_takes_a_model_of_infdiff(cli, diff, slides, tmp_path):
    call = ("upscale", diff[0], slides / "Benign" / "Benign.tif", "--mpp", 4, "--region", "32,32,128,96", "--steps", 2)
    made(cli, *call, "--out", tmp_path / "finer.png")
    with open_source(tmp_path / "finer.png") as source:
        assert source.level_shapes[0] == (96, 128)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("--condition", "Benign"), "has no classes"),
        (("--reference-region", "1,2,3,4"), "give that too"),
        (("--reference", "SLIDE", "--condition", "Benign"), "not both"),
        (("--reference", "SLIDE", "--reference-region", "1,2,3"), "x,y,width,height"),
    ],
)
def test_wrong_conditions_give_one_line_and_no_file(cli, diff, slides, tmp_path, call, words):
    slide = slides / "Benign" / "Benign.tif"
    call = [slide if part == "SLIDE" else part for part in call]
    result = cli("inpaint", diff[0], slide, "--mask", "60,50,24,20", "--out", tmp_path / "out.png", *call)
    assert result.exit_code == 1
    assert words in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_systems_that_cannot_be_held_to_pixels_are_refused(cli, multilevel, slides, tmp_path):
    slide = slides / "Benign" / "Benign.tif"
    for command in (("inpaint", "--mask", "60,50,24,20"), ("upscale",)):
        result = cli(command[0], multilevel, slide, "--out", tmp_path / "out.png", *command[1:])
        assert result.exit_code == 1
        assert "multilevel" in result.output
        assert "infbrush and infdiff" in result.output
    result = cli("generate", multilevel, "--out", tmp_path / "out.ome.zarr", *GENERATED, "--reference", slide)
    assert result.exit_code == 1
    assert "--reference is for infdiff" in result.output
    assert not list(tmp_path.iterdir())


def test_labelled_sets_are_made_by_any_system(multilevel):
    settings = Synthesis(size=(32, 32), num_inference_steps=2)
    dataset = SyntheticDataset(open_pipeline(multilevel), 1, synthesis=settings)
    assert dataset.classes == ("Benign", "Invasive")
    assert dataset.pixels(1).shape == (32, 32, 3)
    with pytest.raises(ConfigError, match="has no setting precision"):
        SyntheticDataset(open_pipeline(multilevel), 1, synthesis=Synthesis(size=(32, 32), precision="bfloat16"))


def test_napari_shows_models_of_any_system(multilevel, tmp_path):
    from infbrush_wsi.pipelines.infd import InfdPipeline

    InfdPipeline(small_bundle()).save_pretrained(tmp_path / "field")
    for model, label in ((multilevel, "Benign"), (tmp_path / "field", "Benign")):
        request = SlideRequest(str(model), label, seed=1, width=32.0, height=32.0, steps=2)
        pyramid = request.layers()[0][0]
        assert np.asarray(pyramid[0]).std() > 0
