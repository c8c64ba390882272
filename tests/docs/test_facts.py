"""Numbers that pages state are those of the code."""

from __future__ import annotations

import inspect
import json
import tomllib

import pytest

from infbrush_wsi.canvas.level_array import CHUNK
from infbrush_wsi.canvas.stage import WHOLE_SIDE
from infbrush_wsi.diffusion.process import TRAIN_TIMESTEPS, ProcessConfig
from infbrush_wsi.fields import Mollifier, NoiseField, WienerInverse
from infbrush_wsi.models.infbrush.presets import PRESETS
from infbrush_wsi.pipelines.base import LAZY_TILE
from infbrush_wsi.pipelines.infbrush import InfBrushPipeline
from infbrush_wsi.points.samplers import MixedSampler
from infbrush_wsi.training.config import DataConfig, OptimConfig, RecordConfig
from tests.docs.pages import DOCS, ROOT

DATA, OPTIM = DataConfig(sources=("x",)), OptimConfig()
FACTS = [
    ("maths.md", f"beyond ${WHOLE_SIDE}^2$ training pixels"),
    ("maths.md", f"cosine, {TRAIN_TIMESTEPS} steps"),
    ("maths.md", f"deviation $\\sigma = {Mollifier().sigma:g}$"),
    ("maths.md", f"pixel centres within ${Mollifier().radius} \\sigma$"),
    ("maths.md", f"standard deviation {ProcessConfig().noise_std:.2f} and not 1"),
    ("maths.md", f"dense windows of {MixedSampler().window} x {MixedSampler().window} pixels"),
    ("maths.md", f"\\epsilon = {WienerInverse().inv_snr}"),
    ("maths.md", f"\\mu = {OPTIM.ema}"),
    ("troubleshooting.md", f"lazily beyond {WHOLE_SIDE}² training pixels"),
    ("troubleshooting.md", {2: "Two", 3: "Three"}[RecordConfig().keep] + " checkpoints are kept"),
    ("howto/generate.md", f"Up to {WHOLE_SIDE}² training pixels"),
    ("howto/slides.md", f"The window is {DATA.window} pixels"),
    ("howto/slides.md", f"`data.tissue_fraction` ({DATA.tissue_fraction})"),
    ("howto/slides.md", f"at most {DATA.cache_bytes >> 30} GiB"),
    ("glossary.md", f"{CHUNK} x {CHUNK} pixels"),
    ("glossary.md", f"{LAZY_TILE} pixels unless `--tile`"),
    ("glossary.md", f"{DATA.window} pixels unless `--window`"),
]


@pytest.mark.parametrize(("page", "fact"), FACTS, ids=[fact for _, fact in FACTS])
def test_a_number_of_a_page_is_that_of_the_code(page, fact):
    assert fact in " ".join((DOCS / page).read_text().split())


def test_defaults_that_pages_state_in_words():
    assert OPTIM.condition_drop == 0.1  # "a tenth of the training images"
    assert MixedSampler().share == 0.5  # "half of the points"
    assert NoiseField(0, 1).scale == pytest.approx(ProcessConfig().noise_std)
    call = inspect.signature(InfBrushPipeline.__call__).parameters
    assert (call["guidance_scale"].default, call["num_inference_steps"].default) == (1.0, 20)
    assert call["scheduler"].default == "dpmsolver++"


@pytest.mark.parametrize("name", PRESETS)
def test_the_table_of_presets_is_right(name):
    preset, page = PRESETS[name], (DOCS / "howto" / "train.md").read_text()
    width, blocks, side = preset["width"], preset["blocks"], preset["grid_side"]
    assert f"| `{name}` | {width}, {blocks} + {blocks} | {side}² nodes |" in page


def test_what_installing_costs_is_what_was_measured():
    results = json.loads((ROOT / "benchmarks" / "results" / "first_hour.json").read_text())["results"]
    page = (DOCS / "install.md").read_text()
    for extra, found in results.items():
        name = "none" if extra == "bare" else f"`{extra}`"
        row = f"| {name} | {found['packages']} | {found['gib']:.2f} | {found['warm']['wall_s']:.0f} |"
        assert f"{row} {found['help']['cpu_s']:.1f} | {found['doctor_first']['cpu_s']:.0f} |" in page
    assert f"took {results['bare']['cold']['wall_s']:.0f} s" in page
    assert max(found["import"]["wall_s"] for found in results.values()) < 0.5


def test_every_extra_is_listed_where_installing_is_explained():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page in (DOCS / "install.md", ROOT / "README.md"):
        table = [line for line in page.read_text().splitlines() if line.startswith("| `")]
        assert {extra for extra in extras if any(f"`{extra}`" in line.split("|")[1] for line in table)} == {*extras}
