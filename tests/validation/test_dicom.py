"""DICOM slides that are sound, and what can be wrong with one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dask.array as da
import numpy as np
import pytest

from infbrush_wsi import __version__
from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import ConfigError, SourceNotFoundError, UnsupportedSourceError
from infbrush_wsi.validation import Validation, validate_dicom, validate_image
from infbrush_wsi.writers.dicom import write_dicom

pytest.importorskip("wsidicom")
pydicom = pytest.importorskip("pydicom")
MADE = {"synthetic": True, "system": "infbrush", "seed": 7}


def write(path: Path, unit: str = "micrometer", **changes) -> Path:
    y, x = np.mgrid[:301, :517]
    bands = [128 + 60 * np.sin(x / (37 + k)) + 50 * np.cos(y / (41 + k)) for k in range(3)]
    pixels = da.from_array(np.stack(bands, axis=-1).astype(np.uint8))
    lattice = Lattice.regular(Shape(301, 517), 0.25, unit)
    return write_dicom(pixels, path, **{"lattice": lattice, "provenance": MADE} | changes)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sound") / "a.dicom")


@pytest.fixture
def slide(sound: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(sound, tmp_path / "a.dicom"))


def level(slide: Path, width: int) -> Path:
    return next(
        file
        for file in slide.glob("*.dcm")
        if pydicom.dcmread(file, stop_before_pixels=True).TotalPixelMatrixColumns == width
    )


def graded(found: Validation, grade: str) -> list[str]:
    return [f"{finding.check}: {finding.text}" for finding in found.findings if finding.grade == grade]


def edit(file: Path, change) -> None:
    dataset = pydicom.dcmread(file)
    change(dataset)
    dataset.save_as(file)


def test_what_the_writer_writes_is_valid(sound):
    found = validate_image(sound, decode=True)
    assert found.valid
    assert {finding.grade for finding in found.findings} == {"ok"}
    said = graded(found, "ok")
    assert said[:5] == [
        "files: 3 are one slide, by wsidicom",
        "image type: DERIVED",
        "physical size: 0.25 x 0.25 micrometer a pixel",
        "levels: 3: 517 x 301, 259 x 151, 130 x 76 px",
        "pixels: 9 blocks were decoded",
    ]
    assert said[5].startswith("pyramid: levels differ from the means of finer ones by ")
    assert said[6:] == [f"provenance: synthetic, system infbrush, seed 7, package_version {__version__}"]
    assert validate_image(next(sound.glob("*.dcm"))).valid


def test_lossless_slides_and_other_units_are_valid(tmp_path):
    found = validate_dicom(write(tmp_path / "a.dicom", "millimeter", compression="deflate"))
    assert found.valid
    assert graded(found, "warning") == []
    assert "physical size: 250 x 250 micrometer a pixel" in graded(found, "ok")


def test_a_missing_level_is_found(slide):
    level(slide, 517).unlink()
    assert graded(validate_dicom(slide), "error") == [
        "provenance: the record speaks of 517 x 301 px, level 0 has 259 x 151"
    ]


@pytest.mark.parametrize("kept", [0.1, 0.6, 0.9])
def test_a_truncated_file_is_found(slide, kept):
    file = level(slide, 517)
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    found = validate_dicom(slide, decode=True)
    assert any(text.startswith(("files: ", "pixels: level 0 ")) for text in graded(found, "error"))


def test_a_damaged_tile_is_found(slide):
    file = level(slide, 259)
    content = bytearray(file.read_bytes())
    start = content.index(b"\xff\xd8\xff", content.index(b"\xfe\xff\x00\xe0"))
    content[start : start + 400] = bytes(400)
    file.write_bytes(content)
    (text,) = graded(validate_dicom(slide, decode=True), "error")
    assert text.startswith("pixels: level 1 cannot be decoded at (0, 0): ")


def test_a_file_that_is_none_is_found(slide, capfd):
    (slide / "other.dcm").write_bytes(b"no DICOM")
    (text,) = graded(validate_dicom(slide), "error")
    assert text.startswith("files: other.dcm is no DICOM file: ")
    assert "Traceback" not in capfd.readouterr().err


def test_a_synthetic_slide_that_says_original_is_found(slide):
    edit(level(slide, 517), lambda dataset: setattr(dataset, "ImageType", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]))
    (text,) = graded(validate_dicom(slide), "error")
    assert "says ORIGINAL, as if a scanner had made it" in text


def test_a_wrong_pixel_size_is_found(slide):
    def shrink(dataset) -> None:
        dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.002, 0.002]

    edit(level(slide, 130), shrink)
    assert any("level 0 it would have" in text for text in graded(validate_dicom(slide), "error"))


def test_records_that_differ_are_found(slide):
    file = slide / "provenance.json"
    values = json.loads(file.read_text())
    values["infbrush_wsi"]["seed"] = 8
    file.write_text(json.dumps(values))
    (text,) = graded(validate_dicom(slide), "error")
    assert text.endswith("is not that of provenance.json")
    file.unlink()
    found = validate_dicom(slide)
    assert found.valid
    assert all(text.startswith("provenance: ") for text in graded(found, "warning"))
    assert len(graded(found, "warning")) == 2


def test_bad_calls_are_one_error(slide, tmp_path):
    with pytest.raises(SourceNotFoundError):
        validate_image(tmp_path / "no.dicom")
    (tmp_path / "empty.dicom").mkdir()
    with pytest.raises(UnsupportedSourceError, match=r"there is no \.dcm file"):
        validate_image(tmp_path / "empty.dicom")
    other = write(tmp_path / "b.dicom")
    shutil.copy(level(other, 130), slide / "stranger.dcm")
    with pytest.raises(UnsupportedSourceError, match="holds 2 series"):
        validate_dicom(slide)
    for file in slide.glob("*.dcm"):
        file.write_bytes(b"")
    with pytest.raises(UnsupportedSourceError, match="is no DICOM file"):
        validate_dicom(slide)
    with pytest.raises(ConfigError):
        validate_dicom(other, windows=0)
