"""`infbrush augment`."""

import csv

import pytest
import zarr


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
