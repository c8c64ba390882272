"""`infbrush protocol`."""

import json

import numpy as np
import pytest
from PIL import Image

SMALL = "{width: 8, blocks: 1, grid_side: 16, grid_width: 8, grid_multipliers: [1, 2], embedding_width: 16}"
QUICK = (
    "--assume-mpp", 0.5, "--generator-steps", 2, "--size", "32x32", "--steps", 1, "--guidance", 1, "--side", 32,
    "--backbone", "torchvision:squeezenet1_1", "--classifier-steps", 2, "--batch", 4, "--ratio", 0.5, "--folds", 2,
    "--set", f"model.overrides={SMALL}", "--set", "data.window=32", "--set", "data.points=256",
    "--set", "data.workers=0", "--set", "optim.batch=2",
)  # fmt: skip


@pytest.fixture
def data(tmp_path):
    """Two classes of two patients with two images each."""
    rng = np.random.default_rng(0)
    for label in ("Pale", "Red"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(60, 200, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / label / f"{label}{number // 2}_{number}.png")
    return tmp_path / "data"


def test_both_arms_are_compared_and_a_second_call_adds_seeds(cli, data, tmp_path):
    pytest.importorskip("torchvision")
    out = tmp_path / "protocol"
    call = ("protocol", data, "--out", out, "--group-pattern", "^([^_]+)_", *QUICK)
    result = cli(*call, "--seeds", 1)
    assert result.exit_code == 0, result.output
    assert "from real images" in result.output
    assert json.loads((out / "result.json").read_text())["runs"] == 2
    before = (out / "fold-0" / "seed-0.json").stat().st_mtime_ns
    assert cli(*call, "--seeds", 2).exit_code == 0
    found = json.loads((out / "result.json").read_text())
    assert found["runs"] == 4
    assert found["patients"] == 4
    assert (out / "fold-0" / "seed-0.json").stat().st_mtime_ns == before
    other = cli(*call, "--seeds", 2, "--ratio", 0.25)
    assert other.exit_code == 1
    assert "other images or settings" in other.output


@pytest.mark.parametrize(
    ("more", "message"), [(("--folds", 5), "too few"), (("--seeds", 0), "--seeds"), (("--backbone", "x"), "backbone")]
)
def test_what_cannot_be_is_one_line(cli, data, tmp_path, more, message):
    call = ("protocol", data, "--out", tmp_path / "out", "--group-pattern", "^([^_]+)_", *QUICK, "--seeds", 1, *more)
    result = cli(*call)
    assert result.exit_code == 1
    assert message in result.output
    assert not (tmp_path / "out").exists()
