"""`infbrush inpaint` and `infbrush upscale`: files of several formats, with records, or one line of error."""

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.cli.provenance import record_of
from infbrush_wsi.sources import open_source

FILL = ("--mask", "60,50,24,20", "--region", "20,20,120,100", "--steps", 2, "--rounds", 1)


@pytest.fixture(scope="module")
def slide(slides):
    return slides / "Benign" / "Benign.tif"


@pytest.mark.parametrize("name", ["out.png", "out.ome.zarr", "out.ome.tif"])
def test_inpainting_writes_the_real_pixels_and_a_record(cli, model, slide, tmp_path, name):
    out = tmp_path / name
    result = cli("inpaint", model, slide, "--out", out, *FILL, "--condition", "Benign")
    assert result.exit_code == 0, result.output
    assert "120 x 100 px" in result.output
    with open_source(slide) as source, open_source(out) as made:
        real, found = source.read_region((20, 20), 0, (120, 100)), made.read_region((0, 0), 0, (120, 100))
        record = record_of(made)
        assert name == "out.png" or made.mpp == pytest.approx(source.mpp)
        assert record is not None
        assert record["source"]["fingerprint"] == source.fingerprint
    different = (real != found).any(axis=2)
    assert different[30:50, 40:64].mean() > 0.5
    different[30:50, 40:64] = False
    assert not different.any()
    assert record["synthetic"] is True
    assert record["task"] == "inpaint"


def test_upscaling_writes_finer_pixels(cli, model, slide, tmp_path):
    out = tmp_path / "finer.ome.zarr"
    call = ("--mpp", 4, "--factor", 4, "--region", "32,32,128,96", "--steps", 2)
    result = cli("upscale", model, slide, "--out", out, *call)
    assert result.exit_code == 0, result.output
    with open_source(out) as made, open_source(slide) as source:
        assert made.level_shapes[0] == (96, 128)
        assert made.mpp == pytest.approx(1.0)
        found = made.read_region((0, 0), 0, (128, 96)).reshape(24, 4, 32, 4, 3).mean(axis=(1, 3))
        from infbrush_wsi.domain import Box

        assert np.abs(found - source.at_mpp(4).read(Box(8, 8, 32, 24))).max() < 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("inpaint", "--mask", "1,2,3"), "--mask must be x,y,w,h"),
        (("inpaint", "--mask", "nowhere.png"), "cannot read the mask"),
        (("inpaint", "--mask", "1,2,3,4", "--condition", "Else"), "no class 'Else'"),
        (("inpaint", "--mask", "1,2,3,4", "--region", "1,2"), "--region must be x,y,w,h"),
        (("upscale", "--factor", "1"), "factor"),
        (("upscale", "--level", "9"), "no level 9"),
    ],
)
def test_bad_input_gives_one_line_and_no_file(cli, model, slide, tmp_path, call, words):
    command, *options = call
    result = cli(command, model, slide, "--out", tmp_path / "out.png", *options)
    assert result.exit_code == 1
    assert words in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_existing_files_are_kept(cli, model, slide, tmp_path):
    out = tmp_path / "out.png"
    Image.new("RGB", (3, 3)).save(out)
    before = out.read_bytes()
    result = cli("inpaint", model, slide, "--out", out, *FILL)
    assert result.exit_code == 1
    assert "--overwrite" in result.output
    assert out.read_bytes() == before
