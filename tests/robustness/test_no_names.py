"""Nothing that names a person goes from a slide into what is passed on: models, images, exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

NAME = "DOE^JANE"


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """A pyramidal TIFF with a patient's name in its file name, in its metadata and on its label."""
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("openslide")
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(90, 220, (32, 32, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    path = tmp_path_factory.mktemp("private") / f"{NAME}.svs"
    text = f"Aperio Image Library v1\r\n256x256 [0,0 256x256] (64x64)|AppMag = 20|MPP = 0.5|Patient = {NAME}"
    label = np.frombuffer((NAME * 200).encode()[:1200], np.uint8).reshape(20, 20, 3)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels, tile=(64, 64), photometric="rgb", description=text, metadata=None)
        tiff.write(pixels[::4, ::4], description=text, photometric="rgb", metadata=None)
        text = f"Aperio Image Library v1\r\nlabel 20x20 {NAME}"
        tiff.write(label, description=text, photometric="rgb", metadata=None, subfiletype=1)
    return path


@pytest.fixture
def cli():
    """Runs the command in this process."""
    from typer.testing import CliRunner

    from infbrush_wsi.cli import app

    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def written(folder: Path) -> bytes:
    """All bytes of a file or folder."""
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    return b"".join(path.read_bytes() + str(path.relative_to(folder)).encode() for path in files)


def assert_nameless(out: Path) -> None:
    found = written(out)
    assert found
    for secret in (NAME, NAME.lower(), "DOE", "JANE"):
        for encoding in ("utf-8", "utf-16-le"):
            assert secret.encode(encoding) not in found, f"{secret} in {out.name}"


def test_the_slide_does_name_a_person(slide):
    import openslide

    with openslide.OpenSlide(slide) as found:
        assert found.properties["aperio.Patient"] == NAME
        assert "label" in found.associated_images
    assert NAME.encode() in slide.read_bytes()


@pytest.mark.parametrize("name", ["o.ome.zarr", "o.ome.tif", "o.tif", "o.png", "o.jpg", "o.dzi", "o.dicom"])
def test_exports_have_no_names(cli, slide, tmp_path, name):
    if name.endswith("dicom"):
        pytest.importorskip("wsidicom")
    out = tmp_path / name
    result = cli("export", slide, out)
    assert result.exit_code == 0, result.output
    assert_nameless(tmp_path)


@pytest.fixture(scope="module")
def run_folder(slide, tmp_path_factory):
    """A short training on the slide."""
    from infbrush_wsi.training.config import RunConfig
    from infbrush_wsi.training.run import train

    out = tmp_path_factory.mktemp("run") / "model"
    data = {"sources": [str(slide)], "mpp": [0.5], "window": 32, "points": 256, "workers": 0, "sampler": "uniform"}
    optim = {"steps": 1, "batch": 2}
    train(RunConfig.parse({"data": data, "model": {"preset": "tiny"}, "optim": optim}), out)
    return out


def test_the_runs_own_folder_knows_its_slides(slide, run_folder):
    assert str(slide) in (run_folder / "run.yaml").read_text()
    assert str(slide) in (run_folder / "manifest.json").read_text()


def test_a_model_has_no_names(run_folder):
    assert_nameless(run_folder / "infbrush.json")
    assert_nameless(run_folder / "denoiser")


def test_a_generated_image_has_no_names(cli, run_folder, tmp_path):
    out = tmp_path / "o.ome.zarr"
    result = cli("generate", run_folder, "--out", out, "--size", 64, "--steps", 1)
    assert result.exit_code == 0, result.output
    assert_nameless(out)


def test_a_repaired_image_has_no_names(cli, slide, run_folder, tmp_path):
    out, fill = tmp_path / "o.ome.zarr", ("--mask", "100,100,16,16", "--region", "90,90,64,64", "--rounds", 1)
    result = cli("inpaint", run_folder, slide, *fill, "--steps", 2, "--out", out)
    assert result.exit_code == 0, result.output
    assert_nameless(out)
