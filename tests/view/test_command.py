"""`infbrush view`: the real command, a real browser's requests, and what it refuses."""

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from infbrush_wsi.sources import open_source
from tests.view.conftest import Page

COMMAND = str(Path(sys.executable).with_name("infbrush"))


@pytest.fixture(scope="module")
def model(make_pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def running():
    started = []

    def run(*arguments, env=None):
        process = subprocess.Popen(
            [COMMAND, "view", *map(str, arguments), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"} | (env or {}),
        )
        started.append(process)
        line = process.stdout.readline()
        found = re.search(r"http://\S+/", line)
        assert found, line + process.stderr.read()
        return process, Page(found.group())

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def refused():
    from infbrush_wsi.cli import app

    def call(*arguments):
        result = CliRunner().invoke(app, ["view", *map(str, arguments)])
        assert result.exit_code == 1, result.output
        return " ".join(result.stderr.split())

    return call


def test_images_and_virtual_slides_are_served_until_it_is_stopped(running, model, picture, slide, zarr_store):
    process, page = running(picture, slide, zarr_store, model, "--condition", "normal", "--condition", "Invasive",
                            "--seed", "5", "--size", "300x200", "--steps", "2")  # fmt: skip
    images = page.images()
    assert [image["title"] for image in images] == [
        "grey.png", "phantom.tif", "out.ome.zarr", "small: Normal, seed 5", "small: Invasive, seed 5",
    ]  # fmt: skip
    assert [image["synthetic"] for image in images] == [False, True, True, True, True]
    with open_source(slide) as source:
        np.testing.assert_array_equal(page.tile(images[1], 0, 1, 1), source.read_region((511, 511), 0, (514, 389)))
    from infbrush_wsi import InfBrushPipeline

    canvas = InfBrushPipeline.from_pretrained(model)("Invasive", (300, 200), None, 5, 2, 1.5)
    np.testing.assert_array_equal(page.whole(images[4], 0), canvas.read_region((0, 0), 0, (300, 200)))
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert time.monotonic() - begun < 10
    assert errors.strip().endswith("stopped")
    assert "Traceback" not in errors


@pytest.mark.slow
def test_it_ends_at_once_and_leaves_nothing_while_tiles_are_computed(running, model, tmp_path):
    process, page = running(model, "--size", "60000", "--steps", "200", "--workdir", tmp_path / "scratch")
    (image,) = page.images()
    assert (image["width"], image["height"]) == (60_000, 60_000)
    asked = [threading.Thread(target=wait_for, args=(page, f"/tiles/{image['key']}/0/{n}_50.png")) for n in range(4)]
    for thread in asked:
        thread.start()
    time.sleep(1.0)
    assert all(thread.is_alive() for thread in asked)
    assert len(list((tmp_path / "scratch").iterdir())) == 1
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors.strip()) == (0, "stopped")
    assert list((tmp_path / "scratch").iterdir()) == []
    for thread in asked:
        thread.join()


def wait_for(page, path):
    with contextlib.suppress(OSError, http.client.HTTPException):
        page.request(path)


def test_an_exported_picture_of_ours_is_still_marked(running, tmp_path, zarr_store, picture):
    from infbrush_wsi.cli import app

    result = CliRunner().invoke(app, ["export", str(zarr_store), str(tmp_path / "out.png")])
    assert result.exit_code == 0, result.output
    _, page = running(tmp_path / "out.png", picture, "--assume-mpp", "0.25")
    images = page.images()
    assert [image["synthetic"] for image in images] == [True, False]
    assert dict(images[0]["facts"])["class"] == "Invasive"
    assert [(image["unit"], round(image["spacing"], 4)) for image in images] == [
        ("micrometer", 1.0),  # which it says itself
        ("micrometer", 0.25),
    ]


def test_values_of_sixteen_bits_are_scaled(running, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    values = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", values)
    _, page = running(tmp_path / "deep.tif", "--scale", "0,4095")
    found = page.tile(page.images()[0], 0, 0, 0)
    np.testing.assert_allclose(found, values / 4095 * 255, atol=0.51)


def test_others_are_warned_of(running, picture):
    process, page = running(picture, "--host", "0.0.0.0", "--allow-remote")  # noqa: S104
    assert page.url.startswith("http://0.0.0.0:")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "warning: whoever can reach this machine can look at these images" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.svs"], "there is nothing at nowhere.svs"),
        (["PICTURE", "--host", "192.0.2.1"], "other machines could see these images"),
        (["PICTURE", "--seed", "7", "--size", "64"], "--size, --seed say what is computed with a model, and"),
        (["PICTURE", "--bands", "2"], "has no band 2"),
        (["PICTURE", "--scale", "4"], "--scale must be two values joined by a comma"),
        (["PICTURE", "--tiles", "webp"], "tiles are png or jpg, not 'webp'"),
        (["PICTURE", "--port", "99999"], "--port must be 0"),
        (["MODEL", "--condition", "Benign"], "the model knows no class 'Benign'; its classes are Normal, Invasive"),
        (["MODEL", "--size", "many"], "--size must be WIDTHxHEIGHT"),
        (["MODEL", "--size", "0"], "size must be a positive"),
        (["MODEL", "--seed", "-1"], "seed must be"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_calls_are_refused_in_one_line(refused, picture, model, arguments, message):
    places = {"PICTURE": str(picture), "MODEL": str(model)}
    assert message in refused(*(places.get(word, word) for word in arguments))
