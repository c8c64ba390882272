"""One clean line, exit code 1, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest

from infbrush_wsi.models.shipped import shipped_models


def line(result):
    """The one line on stderr."""
    lines = [text for text in result.stderr.splitlines() if text.strip()]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "/no/such/slide.svs"], "there is nothing at /no/such/slide.svs"),
        (["generate", "{tmp}", "--out", "{tmp}/out.ome.zarr"], "is not a model directory"),
        (["generate", "{tmp}", "--out", "{tmp}/no/out.ome.zarr"], "there is no folder"),
        (["generate", "hne-tny", "--out", "{tmp}/o.ome.zarr"], "hne-tny is not a model directory"),
        (
            ["generate", "{tmp}", "--out", "{tmp}/o.png"],
            "name it o.ome.zarr, and turn it into .png with infbrush export",
        ),
        (["generate", "{tmp}", "--out", "{tmp}/o.ome.zarr", "--size", "10by10"], "--size must be"),
        (["generate", "{tmp}", "--out", "{tmp}/o.ome.zarr", "--ome-version", "0.6"], "choose '0.4' or '0.5'"),
        (["train", "--out", "{tmp}/m"], "there is nothing to train on"),
        (["train", "--source", "{tmp}/none", "--labels", "none", "--out", "{tmp}/m"], "there is nothing at"),
        (["train", "--source", "x", "--labels", "none", "--mpp", "one", "--out", "{tmp}/m"], "--mpp must be numbers"),
        (["train", "--source", "x", "--steps", "3", "--minutes", "1", "--out", "{tmp}/m"], "not both"),
        (["train", "--source", "x", "--set", "steps=3", "--out", "{tmp}/m"], "--set needs part.name=value"),
        (["train", "--config", "{tmp}/none.yaml", "--out", "{tmp}/m"], "cannot read the configuration"),
        (["train", "--resume", "--out", "{tmp}/m"], "holds no run that could be continued"),
        (["export", "{tmp}/none.tif", "{tmp}/out.bmp"], "has no known suffix"),
        (["export", "{tmp}/none.tif", "{tmp}/out.png"], "there is nothing at"),
        (["export", "{tmp}", "{tmp}/out.png"], "is a folder, not an image: name an image in it"),
        (["export", "{tmp}", "{tmp}/no/out.png"], "there is no folder"),
        (["train", "--source", "{tmp}", "--labels", "none", "--out", "{tmp}/m"], "nothing in {tmp} can be read"),
        (["validate", "{tmp}"], "OME-Zarr stores, GeoTIFFs, DeepZoom images"),
        (["evaluate", "{tmp}", "{tmp}", "--crop-size", "0", "--out", "{tmp}/e"], "the data set is empty: nothing in"),
        (["demo", "--out", "{tmp}/demo", "--size", "64"], "--size must be at least 128"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_one(cli, tmp_path, arguments, message):
    result = cli(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert result.exit_code == 1
    assert line(result).startswith("error: ")
    assert message.format(tmp=tmp_path) in line(result)
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hne-tiny", ["--condition", "lung"], "its classes are breast_bcss, breast_brecahad, breast_tnbc, skin"),
        ("hne-tiny", ["--size", "0"], "size must be a positive"),
        ("hne-tiny", ["--size", "10x-3"], "size must be a positive"),
        ("hne-tiny", ["--mpp", "-1"], "the pixel size must be positive"),
        ("hne-tiny", ["--mpp", "50"], "the model can be evaluated from 0.25 to 2"),
        ("hne-tiny", ["--steps", "0"], "between 1 and 1000"),
        ("hne-tiny", ["--seed", "-1"], "seed must be"),
        ("hne-tiny", ["--guidance", "nan", "--condition", "skin"], "must be finite"),
        ("hne-tiny", ["--sampler", "euler"], "choose one of dpmsolver++, ddim"),
        ("hne-tiny", ["--like", "{tmp}/none.zarr"], "make it with infbrush embed"),
        ("hne-tiny", ["--paint", "{tmp}/none.geojson", "--paint-mpp", "1"], "cannot be read"),
        ("aerial-tiny", ["--mpp", "1"], "this model's pixels are of 5 meter: use --resolution"),
        ("aerial-tiny", ["--crs", "nonsense"], "must be a coordinate reference system such as EPSG:26914"),
    ],
)
def test_a_wrong_wish_of_a_model_is_refused_before_anything_is_rendered(cli, tmp_path, name, options, message):
    if name not in shipped_models():
        pytest.skip(f"the model {name} is not in this copy of the package")
    if "--crs" in options:
        pytest.importorskip("rasterio")
    options = [option.format(tmp=tmp_path) for option in options]
    result = cli("generate", name, "--out", tmp_path / "o.ome.zarr", *options)
    assert result.exit_code == 1
    assert message in line(result)
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_stores_is_replaced_and_nothing_is_planned_first(cli, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    result = cli("generate", tmp_path, "--out", tmp_path / "mine", "--overwrite")
    assert result.exit_code == 1
    assert "is not a Zarr store, so it is not overwritten" in line(result)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_a_folder_that_may_not_be_written_is_refused_at_once(cli, tmp_path, monkeypatch):
    # Root may write everywhere; the command line library asks for reading only.
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    for call in (["generate", tmp_path, "--out"], ["export", tmp_path]):
        result = cli(*call, tmp_path / "o.ome.zarr")
        assert result.exit_code == 1
        assert f"you may not write in {tmp_path}" in line(result)


def test_images_are_not_generated_into_a_file(cli, model, tmp_path):
    (tmp_path / "a.png").write_bytes(b"mine")
    result = cli("augment", model, "--out", tmp_path / "a.png", "--per-class", 1, "--size", 32, "--steps", 1)
    assert result.exit_code == 1
    assert "is a file, not a folder" in line(result)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_misspelt_command_is_told_once(cli):
    result = cli("generat", "model")
    assert result.exit_code == 2
    assert result.stderr.count("Did you mean") == 1


def test_a_wrong_setting_names_its_field(cli, tmp_path):
    result = cli("train", "--source", "x", "--labels", "none", "--set", "optim.speed=3", "--out", tmp_path / "m")
    assert result.exit_code == 1
    assert "optim.speed: there is no such value; there are steps, minutes, batch" in result.stderr
    assert not (tmp_path / "m").exists()


def test_debug_shows_the_traceback(command, environment):
    for arguments in (["--debug", "info", "/no/slide.svs"], ["info", "/no/slide.svs", "--debug"]):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 1
        assert "Traceback" in done.stderr
        assert "SourceNotFoundError" in done.stderr


def test_a_truncated_slide_is_an_error_and_not_a_traceback(cli, slides, tmp_path):
    damaged = tmp_path / "damaged.tif"
    damaged.write_bytes((slides / "Benign" / "Benign.tif").read_bytes()[:4000])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns before it fails
        result = cli("info", damaged)
    assert result.exit_code == 1
    assert "damaged.tif" in line(result)


@pytest.mark.parametrize(
    "call",
    [
        ("generate", "no-model", "--out", "o.ome.zarr"),
        ("augment", "no-model", "--out", "o"),
        ("inpaint", "no-model", "s.png", "--mask", "0,0,8,8", "--out", "o.png"),
        ("upscale", "no-model", "s.png", "--factor", "2", "--out", "o.png"),
    ],
    ids=lambda call: call[0],
)
def test_a_misspelt_model_is_told_before_torch_is_imported(environment, tmp_path, call):
    script = "import sys; from infbrush_wsi.cli import app\ntry: app()\nfinally: print('torch' in sys.modules)"
    command = [sys.executable, "-c", script, *call]
    found = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert "no-model is not a model directory" in found.stderr
    assert found.stdout.split() == ["False"]
    assert not list(tmp_path.iterdir())
