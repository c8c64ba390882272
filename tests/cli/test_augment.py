"""`infbrush augment`."""

import csv

import pytest
import zarr
from PIL import Image


@pytest.fixture
def model(make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def call(cli, model, out, *more):
    return cli("augment", model, "--out", out, "--per-class", 2, "--size", "40x36", "--steps", 1, *more)


def test_a_labelled_folder(cli, model, tmp_path):
    result = call(cli, model, tmp_path / "set")
    assert result.exit_code == 0, result.output
    assert "2 Normal, 2 Invasive" in result.output
    with (tmp_path / "set" / "images.csv").open() as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["Normal", "Invasive"] * 2
    again = call(cli, model, tmp_path / "set")
    assert again.exit_code == 1
    assert "complete" in again.output


def test_a_stack_of_one_class(cli, model, tmp_path):
    result = call(cli, model, tmp_path / "set.zarr", "--classes", "Invasive")
    assert result.exit_code == 0, result.output
    assert zarr.open_group(str(tmp_path / "set.zarr"), mode="r")["images"].shape == (2, 36, 40, 3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--classes", "Benign"), "some of the model's"),
        (("--training", "."), "needed together"),
        (("--steps", "0"), "step"),
        (("--mpp", "40"), "pixel"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(cli, model, tmp_path, more, message):
    result = call(cli, model, tmp_path / "set", *more)
    assert result.exit_code == 1
    assert message in result.output
    assert not (tmp_path / "set").exists()


def test_images_of_doubtful_class_are_left_out(cli, model, tmp_path):
    for name, colour in (("Normal", 230), ("Invasive", 20)):
        (tmp_path / "real" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (48, 48), (colour, colour, colour - number)).save(
                tmp_path / "real" / name / f"{number}.png"
            )
    judged = ("--judge", tmp_path / "real", "--judge-steps", 3, "--assume-mpp", 0.5)
    result = call(cli, model, tmp_path / "set", *judged, "--least", 1.0)
    assert result.exit_code == 0, result.output
    assert "0 Normal, 0 Invasive, 4 left out (see dropped.csv)" in result.stdout
    assert "of 16 windows of real images that it has not seen" in result.stderr
    with (tmp_path / "set" / "dropped.csv").open() as file:
        assert {row["reason"] for row in csv.DictReader(file)} <= {"looks like Normal", "looks like Invasive"}
    alone = ("--judge", tmp_path / "real" / "Normal")
    for more, message in (((*judged, "--least", 2), "--least"), (alone, "not in a class folder")):
        result = call(cli, model, tmp_path / "other", *more)
        assert result.exit_code == 1
        assert message in result.stderr
        assert not (tmp_path / "other").exists()
