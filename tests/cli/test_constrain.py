"""`infbrush constrain` and `infbrush generate` with a model of infd."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from infbrush_wsi.cli.provenance import record_of
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.pipelines.constraints.settings import read_constraints
from infbrush_wsi.pipelines.infd import InfdPipeline
from infbrush_wsi.sources import open_source
from tests.infd_model import small_bundle

Cli = Callable[..., Any]


class Brightest(torch.nn.Module):
    """A classifier: which band is brightest."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return 4 * picture.mean((2, 3))


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("infd") / "model"
    InfdPipeline(small_bundle()).save_pretrained(folder)
    return folder


@pytest.fixture
def wishes(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wish.png")
    program = torch.export.export(Brightest().eval(), (torch.zeros(1, 3, 16, 16),))
    torch.export.save(program, tmp_path / "tissue.pt2")
    (tmp_path / "wishes.yaml").write_text(
        "- {box: [0, 0, 128, 96], like: wish.png, side: 32}\n"
        "- {box: [64, 32, 32, 32], classifier: tissue.pt2, index: 2, side: 16, weight: 2}\n"
    )
    return tmp_path / "wishes.yaml"


def test_an_image_is_held_to_a_file_of_constraints(cli: Cli, field: Path, wishes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.zarr"
    call = ["--constraints", wishes, "--size", "128x96", "--steps", "2", "--seed", "3", "--strength", "0.5"]
    result = cli("constrain", field, "--out", out, *call)
    assert result.exit_code == 0, result.output
    rows = [line.split(": ")[-1].split() for line in result.stdout.splitlines()[:2]]
    assert all(float(row[2]) > float(row[0]) for row in rows)
    with open_source(out) as source:
        record = record_of(source)
        assert source.level_shapes[0] == (96, 128)
    assert record["constraints"][0].startswith("like wish.png")
    assert record["constraints"][1].startswith("class tissue.pt2:2 at (64, 32) 32 x 32, 16 px, weight 2")
    again = cli("constrain", field, "--out", out, *call)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr


def test_generate_takes_a_model_of_infd(cli: Cli, field: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.zarr"
    call = ["--size", "96x64", "--steps", "2", "--seed", "7", "--condition", "Invasive"]
    result = cli("generate", field, "--out", out, *call)
    assert result.exit_code == 0, result.output
    canvas = InfdPipeline.from_pretrained(field)(
        "Invasive", (96, 64), seed=7, num_inference_steps=2, guidance_scale=1.5
    )
    with open_source(out) as source:
        expected = canvas.read_region((0, 0), 0, (96, 64))
        np.testing.assert_array_equal(source.read_region((0, 0), 0, (96, 64)), expected)
    refused = cli("generate", field, "--out", tmp_path / "x.ome.zarr", *call, "--engine", "joint")
    assert refused.exit_code == 1
    assert "no setting engine" in refused.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "list of constraints"),
        ("- {box: [0, 0, 1, 1]}", "one of like, text and classifier"),
        ("- {box: [0, 0, 1], like: a.png}", "box"),
        ("- {box: [0, 0, 9, 9], like: none.png}", r"none\.png"),
        ("- {box: [0, 0, 9, 9], classifier: none.pt2}", r"torch\.export"),
        ("- {box: [0, 0, 9, 9], like: wish.png, side: 4}", "side"),
        ("- {box: [0, 0, 9, 9], colour: red}", "colour"),
        ("[", "cannot read"),
    ],
)
def test_wishes_that_make_no_sense_are_told(wishes: Path, text: str, message: str) -> None:
    wishes.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_constraints(wishes)
