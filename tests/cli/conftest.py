"""Real slides, a really trained (if very small) model, and the command itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SMALL = "{width: 8, blocks: 1, grid_side: 16, grid_width: 8, grid_multipliers: [1, 2], embedding_width: 16}"
QUICK = [
    "--window", "64", "--points", "256", "--batch", "2", "--workers", "0", "--set", f"model.overrides={SMALL}",
]  # fmt: skip


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The installed script of this environment."""
    return [str(Path(sys.executable).with_name("infbrush"))]


@pytest.fixture(scope="session")
def quick() -> list[str]:
    """Options of `train` that make three steps a matter of a second."""
    return QUICK


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    return os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}


@pytest.fixture
def cli() -> Callable[..., Any]:
    """Runs the command in this process."""
    from typer.testing import CliRunner

    from infbrush_wsi.cli import app

    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes with a pyramidal TIFF of 256 x 256 pixels each, 1 µm per pixel."""
    pytest.importorskip("openslide")
    from infbrush_wsi.phantom import write_phantom_slide

    folder = tmp_path_factory.mktemp("slides")
    for label in ("Benign", "Invasive"):
        write_phantom_slide(folder / label / f"{label}.tif", label, size=(300, 256), mpp=1.0)
    return folder


@pytest.fixture(scope="session")
def model(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained for three steps by the command."""
    from typer.testing import CliRunner

    from infbrush_wsi.cli import app

    out = tmp_path_factory.mktemp("trained") / "model"
    result = CliRunner().invoke(app, ["train", "--source", str(slides), "--steps", "3", "--out", str(out), *QUICK])
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="session")
def generated(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OME-Zarr 0.5 of 96 x 64 pixels, made by the command."""
    from typer.testing import CliRunner

    from infbrush_wsi.cli import app

    out = tmp_path_factory.mktemp("generated") / "out.ome.zarr"
    call = ["generate", model, "--out", out, "--size", "96x64", "--steps", "2", "--condition", "benign", "--seed", "7"]
    result = CliRunner().invoke(app, [str(argument) for argument in call])
    assert result.exit_code == 0, result.output
    return out
