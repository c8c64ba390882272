"""Evaluation by command: numbers, a page, progress, and a last line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.metrics import Bootstrap, CropRule, evaluate
from infbrush_wsi.sources import collect


@pytest.fixture
def folders(tmp_path):
    """Two folders of four tiles of 96 x 96 pixels."""
    rng = np.random.default_rng(0)
    for name in ("real", "made"):
        (tmp_path / name).mkdir()
        for k in range(4):
            Image.fromarray(rng.integers(0, 256, (96, 96, 3), np.uint8)).save(tmp_path / name / f"{k}.png")
    return tmp_path / "real", tmp_path / "made"


def test_an_evaluation_leaves_a_page_and_says_where(cli, folders, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("skimage")
    out = tmp_path / "evaluation"
    call = ["--crop-size", 64, "--crops", 2, "--whole-size", 0, "--resamples", 0, "--assume-mpp", 1]
    result = cli("evaluate", *folders, "--out", out, *call)
    assert result.exit_code == 0, result.output
    assert "reading 8/8" in result.stderr
    last = result.stdout.splitlines()[-1]
    assert last.startswith(f"{out}: evaluation.html and evaluation.json, ")
    assert f"open {out / 'evaluation.html'} in a browser" in result.stderr
    assert json.loads((out / "evaluation.json").read_text())["real"] == str(folders[0])
    again = cli("evaluate", *folders, "--out", out, *call)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr


def test_every_image_counts_once_for_each_rule(folders):
    pytest.importorskip("skimage")
    (folders[0] / "small.png").write_bytes((folders[0] / "0.png").read_bytes()[:100])
    told = []
    rules = (CropRule("crop", 64, 2), CropRule("whole", 48))
    real, made = (collect([folder], mpp=1.0) for folder in folders)
    evaluate(real, made, rules=rules, bootstrap=Bootstrap(0), progress=lambda *counts: told.append(counts))
    assert told == [(k, 18) for k in range(1, 19)]


def test_near_copies_of_training_images_end_it_with_an_error_that_can_be_overridden(cli, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("skimage")
    rng = np.random.default_rng(1)
    tiles = {name: rng.integers(0, 256, (24, 64, 64, 3), np.uint8) for name in ("train", "other", "made")}
    copied = tiles["made"].copy()
    copied[5] = tiles["train"][3][:, ::-1]
    for name, images in {**tiles, "copied": copied}.items():
        (tmp_path / name).mkdir()
        for k, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{k:02d}.png")
    sets = ["--training", tmp_path / "train", "--held-out", tmp_path / "other", "--assume-mpp", 1]
    call = ["--crop-size", 64, "--crops", 1, "--whole-size", 0, "--resamples", 0, "--no-stain", *sets]

    def run(made, out, *more):
        return cli("evaluate", tmp_path / "other", tmp_path / made, "--out", tmp_path / out, *call, *more)

    clean = run("made", "clean")
    assert clean.exit_code == 0, clean.output
    refused = run("copied", "found")
    assert refused.exit_code == 1
    assert "1 generated images are near copies of training images: do not publish them" in refused.stderr
    said = [
        result["settings"]
        for result in json.loads((tmp_path / "found" / "evaluation.json").read_text())["results"]
        if "copies" in result["settings"]
    ]
    assert said[0]["copies"] == 1
    assert said[0]["suspicious"][0] == [str(tmp_path / "copied" / "05.png"), str(tmp_path / "train" / "03.png")]
    assert run("copied", "allowed", "--allow-copies").exit_code == 0
