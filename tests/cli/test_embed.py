"""Embeddings of slides by command."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.conditioning.encoders import EmbeddingStore, load_encoder
from infbrush_wsi.conditioning.layout import embedding_grid
from infbrush_wsi.sources import open_source


def test_slides_of_a_folder_with_their_classes(cli, slides, tmp_path):
    out = tmp_path / "e.zarr"
    result = cli("embed", slides, "--out", out, "--tile", 64, "--stride", 32)
    assert result.exit_code == 0, result.output
    store = EmbeddingStore(out)
    assert store.classes == ("Benign", "Invasive")
    assert (store.settings.spacing, store.settings.cell, store.settings.encoder.name) == (1.0, 32.0, "statistics")
    tiles = sum(slide.embedded for slide in store.slides)
    assert f"{out}: {tiles} embeddings of 34 values from 2 images, a cell is 32 micrometer" in result.stdout
    assert "embedding 160/160" in result.stderr
    expected = embedding_grid(
        open_source(slides / "Benign" / "Benign.tif"), load_encoder(), cell=32.0, patch=64, spacing=1.0
    )
    present = store.present("Benign.tif")
    assert present.any()
    np.testing.assert_array_equal(store.grid("Benign.tif")[present], expected.embeddings[present])
    again = cli("embed", slides, "--out", out, "--tile", 64, "--stride", 32)
    assert again.exit_code == 0, again.output
    other = cli("embed", slides, "--out", out, "--tile", 64)
    assert other.exit_code == 1
    assert "stride 32, not 64" in other.stderr


def test_a_network_with_local_weights(cli, slides, tmp_path):
    timm = pytest.importorskip("timm")
    import torch

    torch.save(timm.create_model("test_resnet.r160_in1k", pretrained=False).state_dict(), tmp_path / "w.pth")
    out = tmp_path / "e.zarr"
    call = ["--encoder", "timm:test_resnet.r160_in1k", "--weights", tmp_path / "w.pth", "--dtype", "float16"]
    result = cli("embed", slides / "Benign", "--out", out, *call, "--mpp", 2.0, "--device", "cpu")
    assert result.exit_code == 0, result.output
    settings = EmbeddingStore(out).settings
    assert (settings.tile, settings.spacing, settings.dtype, settings.encoder.size) == (160, 2.0, "float16", 160)


def test_bad_input_gives_one_line_and_leaves_nothing(cli, slides, tmp_path):
    out = tmp_path / "e.zarr"
    Image.new("RGB", (64, 64)).save(tmp_path / "no_size.png")
    mixed = tmp_path / "mixed"
    for number, dpi in enumerate((50800, 25400)):  # 0.5 and 1 µm
        (mixed / str(number)).mkdir(parents=True)
        Image.new("RGB", (64, 64), "red").save(mixed / str(number) / "x.png", dpi=(dpi, dpi))
    for call, message in (
        ([slides, "--encoder", "uni"], "must be one of statistics"),
        ([slides, "--mpp", 1, "--resolution", 1], "not both"),
        ([slides, "--bands", "1.5"], "whole numbers"),
        ([slides, "--encoder", "timm:resnet18", "--weights", tmp_path / "none.pth"], "no file of weights"),
        ([slides, "--tile", "8"], "at least 32 x 32"),
        ([slides / "none"], "there is nothing at"),
        ([tmp_path / "no_size.png"], "--assume-mpp"),
        ([mixed], "differ in pixel size (0.5 in"),
    ):
        result = cli("embed", *call, "--out", out)
        assert result.exit_code == 1, result.output
        assert message in result.stderr
        assert "Traceback" not in result.output
        assert not out.exists()


def test_a_killed_call_is_taken_up_and_ends_the_same(cli, command, environment, slides, tmp_path):
    out = tmp_path / "e.zarr"
    call = ["embed", str(slides), "--tile", "64", "--stride", "8", "--batch", "8", "--out"]
    process = subprocess.Popen([*command, *call, str(out)], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(out.glob("slides/*/embeddings/c/*/*/*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    resumed = cli(*call, out)
    assert resumed.exit_code == 0, resumed.output
    assert cli(*call, tmp_path / "whole.zarr").exit_code == 0
    found, whole = EmbeddingStore(out), EmbeddingStore(tmp_path / "whole.zarr")
    assert found.slides == whole.slides
    for slide in whole.slides:
        np.testing.assert_array_equal(found.grid(slide.key), whole.grid(slide.key))


def test_ctrl_c_says_that_the_same_call_goes_on(command, environment, slides, tmp_path):
    out = tmp_path / "e.zarr"
    call = [*command, "embed", str(slides), "--tile", "64", "--stride", "2", "--out", str(out)]
    process = subprocess.Popen(call, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(out.glob("slides/*/embeddings/c/*/*/*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    # zarr's event loop may say after it that a task was pending.
    assert "stopped; the same call goes on" in stderr.splitlines()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.zarr"]


def test_a_slide_that_is_damaged_inside_is_left_out(cli, slides, tmp_path):
    folder = tmp_path / "in"
    shutil.copytree(slides, folder)
    torn = folder / "Benign" / "Benign.tif"
    data = bytearray(torn.read_bytes())
    for start in range(len(data) // 8, len(data) // 2, 64):  # the finest level; the overview is further back
        data[start : start + 48] = b"\xff\xd9" * 24
    torn.write_bytes(data)
    result = cli("embed", folder, "--out", tmp_path / "e.zarr", "--tile", 64)
    assert result.exit_code == 0, result.output
    assert "Benign.tif" in result.stderr.split("skipped", 1)[1]
    store = EmbeddingStore(tmp_path / "e.zarr")
    assert [slide.name for slide in store.slides] == ["Invasive.tif"]
    assert len(list((tmp_path / "e.zarr" / "slides").glob("*/"))) == 1


def test_a_raster_in_its_own_unit(cli, tmp_path):
    pytest.importorskip("rasterio")
    from infbrush_wsi.phantom import write_phantom_raster

    raster = write_phantom_raster(tmp_path / "aerial.tif", size=(128, 96))
    out = tmp_path / "e.zarr"
    result = cli("embed", raster, "--resolution", 1.2, "--tile", 32, "--out", out)
    assert result.exit_code == 0, result.output
    store = EmbeddingStore(out)
    slide = store.slides[0]
    assert (store.settings.unit, slide.crs, slide.rows, slide.columns) == ("meter", "EPSG:26914", 2, 2)
    assert slide.transform[2] == 500000.0
    assert slide.transform[4] == pytest.approx(-38.4)
    assert store.settings.encoder.channels == 4


def test_a_model_is_trained_on_the_embeddings(cli, slides, quick, tmp_path):
    store, out = tmp_path / "e.zarr", tmp_path / "m"
    assert cli("embed", slides, "--out", store, "--tile", 64).exit_code == 0
    result = cli("train", "--source", slides, "--embeddings", store, "--steps", 2, "--out", out, *quick)
    assert result.exit_code == 0, result.output
    assert re.search(r"embeddings +statistics", result.stderr)
    from infbrush_wsi import InfBrushPipeline

    pipe, opened = InfBrushPipeline.from_pretrained(out), EmbeddingStore(store)
    pipe.check_encoder(opened.settings.encoder)
    canvas = pipe(opened.layout("Benign.tif"), (64, 64), num_inference_steps=2)
    assert canvas.read_region((0, 0), 0, (64, 64)).shape == (64, 64, 3)
    assert cli("train", "--resume", "--steps", 3, "--out", out).exit_code == 0
