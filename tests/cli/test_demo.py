"""The demo, very small."""

from __future__ import annotations

import json

import pytest

from infbrush_wsi import open_source
from infbrush_wsi.models.shipped import shipped_models


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_makes_slides_a_model_images_and_a_report(cli, tmp_path):
    for module in ("openslide", "rasterio", "tifffile", "matplotlib", "ome_zarr"):
        pytest.importorskip(module)
    out = tmp_path / "demo"
    result = cli("demo", "--out", out, "--minutes", 0.05, "--size", 160, "--steps", 2)
    assert result.exit_code == 0, result.output
    *reports, last = result.stdout.splitlines()
    assert reports == [str(out / "report.html"), str(out / "report.png")]
    assert last.startswith(f"{out}: ")
    made = sorted(path.name for path in (out / "shipped").iterdir()) if shipped_models() else []
    assert made == [f"{name}.ome.zarr" for name in shipped_models()]
    stores = sorted(path.name for path in (out / "generated").iterdir())
    assert stores == ["Benign.ome.zarr", "InSitu.ome.zarr", "Invasive.ome.zarr", "Normal.ome.zarr"]
    for name in stores:
        with open_source(out / "generated" / name) as source:
            assert source.level_shapes[0] == (160, 160)
            assert source.mpp == 1.0
            assert source.metadata["synthetic"] is True
    assert json.loads((out / "model" / "infbrush.json").read_text())["unit"] == "micrometer"
    text = (out / "report.html").read_text()
    assert "all checks passed" in text
    assert "EPSG:26914" in text
    assert (out / "report.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_takes_slides_of_the_user(cli, slides, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "demo"
    result = cli("demo", "--out", out, "--source", slides, "--minutes", 0.05, "--size", 160, "--steps", 2)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (out / "generated").iterdir()) == ["Benign.ome.zarr", "Invasive.ome.zarr"]
    assert not (out / "data").exists()
    assert "EPSG" not in (out / "report.html").read_text()


def test_a_folder_with_something_in_it_is_left_alone(cli, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    result = cli("demo", "--out", tmp_path)
    assert result.exit_code == 1
    assert "not empty" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
