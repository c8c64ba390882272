"""The command and its page, run on real files."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from infbrush_wsi.errors import ConfigError, DatasetError, OutputError, OutputExistsError

pytest.importorskip("skimage")
pytest.importorskip("matplotlib")


@pytest.fixture
def run():
    """Runs the command alone, errors as they are raised."""
    from infbrush_wsi.cli.evaluate import evaluate

    app = typer.Typer()
    app.command()(evaluate)

    def call(*arguments: object):
        found = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found

    return call


QUICK = ("--crop-size", 64, "--crops", 2, "--whole-size", 48, "--resamples", 20)


def test_folders_give_json_and_a_page_that_stands_alone(run, image_folder, tmp_path, one_thread):
    real, made = image_folder("real", 8), image_folder("made", 6, sigma=3.0, seed=40)
    (made / "broken.png").write_bytes(b"no image")
    out = tmp_path / "out"
    done = run(real, made, "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    found = json.loads((out / "evaluation.json").read_text())
    names = {result["name"]: result for result in found["results"]}
    assert {"crop_frechet", "crop_kernel", "crop_density", "whole_frechet", "spectrum", "correlation", "stain"} <= set(
        names
    )
    assert names["crop_frechet"]["n_generated"] == 12
    assert names["crop_frechet"]["low"] <= names["crop_frechet"]["value"] <= names["crop_frechet"]["high"]
    assert [entry[0].rsplit("/", 1)[-1] for entry in found["skipped"]["generated crop"]] == ["broken.png"]
    page = (out / "evaluation.html").read_text()
    assert len(re.findall("data:image/png;base64", page)) == 16 + 12
    assert page.count("<svg") == 3
    assert not re.search(r'(src|href)="http', page)
    assert "rank-deficient" in page
    assert "synthetic" in page
    assert "crop frechet" in done.output
    with pytest.raises(OutputExistsError, match="--overwrite"):
        run(real, made, "--out", out, *QUICK)
    assert run(real, made, "--out", out, "--overwrite", "--no-stain", *QUICK).exit_code == 0
    again = json.loads((out / "evaluation.json").read_text())
    assert "stain" not in {result["name"] for result in again["results"]}


def test_planted_copies_are_named(run, image_folder, tmp_path, one_thread):
    training, held_out = image_folder("training", 24), image_folder("held", 24, seed=100)
    made = image_folder("made", 6, seed=200)
    Image.open(training / "004.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(made / "002.png")
    (training / "000.png").write_bytes(b"broken: later ones must keep their names")
    (made / "000.png").write_bytes(b"broken too")
    out, sets = tmp_path / "out", ("--training", training, "--held-out", held_out, "--allow-copies")
    run(held_out, made, "--out", out, *QUICK, *sets, "--tile", 32)
    found = {result["name"]: result for result in json.loads((out / "evaluation.json").read_text())["results"]}
    assert found["seam"]["low"] < 1.2
    assert found["memorised"]["settings"]["rule"]["kind"] == "whole"
    settings = found["memorised"]["settings"]
    assert settings["passed"] is False
    assert settings["copies"] == 1
    assert settings["suspicious"][0] == [str(made / "002.png"), str(training / "004.png")]
    run(held_out, made, "--out", out, *QUICK, *sets, "--copy-window", 80, "--overwrite")
    found = {result["name"]: result for result in json.loads((out / "evaluation.json").read_text())["results"]}
    assert found["memorised"]["settings"]["rule"]["kind"] == "grid"
    assert found["memorised"]["settings"]["suspicious"][0] == settings["suspicious"][0]


def test_a_pyramid_is_compared_with_itself_over_levels(run, image_folder, tmp_path, tissue, one_thread):
    from infbrush_wsi.domain import Lattice, Shape
    from infbrush_wsi.writers import write_ome_zarr

    da = pytest.importorskip("dask.array")
    fine = tissue(256, 256, 2.0, 3)
    half = fine.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    levels = [da.from_array(pixels, chunks=(128, 128, 3)) for pixels in (fine, half)]
    store = write_ome_zarr(levels, tmp_path / "a.ome.zarr", lattice=Lattice.regular(Shape(256, 256), 0.5), name="a")
    out = tmp_path / "out"
    arguments = ("--out", out, "--crop-size", 64, "--crops", 8, "--resamples", 10)
    assert run(image_folder("real", 4), store, *arguments).exit_code == 0
    found = {result["name"]: result for result in json.loads((out / "evaluation.json").read_text())["results"]}
    assert found["scale_1"]["value"] < 1
    assert "whole_frechet" not in found


def test_bad_calls_leave_nothing(run, image_folder, tmp_path):
    folder, out = image_folder("a", 3), tmp_path / "out"
    with pytest.raises(ConfigError, match="go together"):
        run(folder, folder, "--out", out, "--training", folder)
    assert not out.exists()
    with pytest.raises(DatasetError, match="crop of 256"):
        run(folder, folder, "--out", out)
    assert not out.exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        run(folder, folder, "--out", tmp_path / "file" / "out", *QUICK)
