"""One clean line, exit code 1, and nothing left behind."""

from __future__ import annotations

import subprocess
import warnings

import pytest


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
        (["demo", "--out", "{tmp}/demo", "--size", "64"], "--size must be at least 128"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_one(cli, tmp_path, arguments, message):
    result = cli(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert result.exit_code == 1
    assert line(result).startswith("error: ")
    assert message in line(result)
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_setting_names_its_field(cli, tmp_path):
    result = cli("train", "--source", "x", "--labels", "none", "--set", "optim.speed=3", "--out", tmp_path / "m")
    assert result.exit_code == 1
    assert "optim.speed" in result.stderr
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
