"""DICOM slides, read back by wsidicom and OpenSlide."""

from __future__ import annotations

import json

import dask.array as da
import numpy as np
import pytest
from affine import Affine

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import BandMismatchError, ConfigError, MissingMppError, OutputError, OutputExistsError
from infbrush_wsi.writers.description import from_description
from infbrush_wsi.writers.dicom import write_dicom
from infbrush_wsi.writers.provenance import RECORD_FILE
from infbrush_wsi.writers.pyramid import halve

wsidicom = pytest.importorskip("wsidicom")
MADE = {"synthetic": True, "seed": 7, "condition": "Größe"}


def smooth(h=301, w=517, c=3):
    y, x = np.mgrid[:h, :w]
    bands = [128 + 60 * np.sin(x / (37 + k)) + 50 * np.cos(y / (41 + k)) for k in range(c)]
    return np.stack(bands, axis=-1).astype(np.uint8)


def write(path, pixels, **changes):
    h, w = pixels.shape[:2]
    lattice = Lattice(Shape(h, w), Affine.scale(0.25, 0.5))
    return write_dicom(da.from_array(pixels), path, **{"lattice": lattice, "provenance": MADE} | changes)


def levels_of(pixels):
    levels = [pixels]
    while max(levels[-1].shape[:2]) > 256:
        levels.append(halve(levels[-1].transpose(2, 0, 1)).transpose(1, 2, 0))
    return levels


@pytest.mark.parametrize(
    ("compression", "shape", "error"),
    [("jpeg", (301, 517, 3), 12), ("deflate", (301, 517, 3), 0), ("jpeg", (90, 700, 1), 6), ("deflate", (20, 9, 1), 0)],
)
def test_wsidicom_reads_every_level(tmp_path, compression, shape, error):
    pixels, calls = smooth(*shape), []
    path = write(
        tmp_path / "a.dicom", pixels, compression=compression, progress=lambda done, total: calls.append((done, total))
    )
    expected = levels_of(pixels)
    with wsidicom.WsiDicom.open(path) as slide:
        assert len(slide.levels) == len(expected)
        for number, (level, wanted) in enumerate(zip(slide.levels, expected, strict=True)):
            h, w = wanted.shape[:2]
            assert (level.size.width, level.size.height) == (w, h)
            assert level.mpp.width == pytest.approx(0.25 * 2**number)
            assert level.mpp.height == pytest.approx(0.5 * 2**number)
            found = np.asarray(slide.read_region((0, 0), level.level, (w, h)))
            assert np.abs(found.reshape(wanted.shape).astype(int) - wanted).max() <= error
    tiles = sum(-(-level.shape[0] // 256) * -(-level.shape[1] // 256) for level in expected)
    assert calls == [(k, tiles) for k in range(1, tiles + 1)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.dicom"]


@pytest.mark.parametrize(("compression", "error"), [("jpeg", 12), ("deflate", 0)])
def test_openslide_opens_it_as_a_slide(tmp_path, compression, error):
    openslide = pytest.importorskip("openslide")
    pixels = smooth()
    path = write(tmp_path / "a.dicom", pixels, compression=compression)
    with openslide.OpenSlide(next(path.glob("*.dcm"))) as slide:
        assert slide.level_dimensions == ((517, 301), (259, 151), (130, 76))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.25)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.5)
        found = np.asarray(slide.read_region((0, 0), 0, (517, 301)).convert("RGB")).astype(int)
    assert np.abs(found - pixels).max() <= error


@pytest.mark.parametrize(("synthetic", "text"), [(True, "synthetic image"), (False, "converted image")])
def test_the_files_say_what_they_are(tmp_path, synthetic, text):
    pydicom = pytest.importorskip("pydicom")
    made = MADE | {"synthetic": synthetic}
    path = write(tmp_path / "a.dicom", smooth(), provenance=made)
    files = [pydicom.dcmread(file, stop_before_pixels=True) for file in path.glob("*.dcm")]
    assert len(files) == 3
    for file in files:
        resampled = "NONE" if file.TotalPixelMatrixColumns == 517 else "RESAMPLED"
        assert list(file.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", resampled]
        frames = file.SharedFunctionalGroupsSequence[0].WholeSlideMicroscopyImageFrameTypeSequence[0]
        assert list(frames.FrameType) == list(file.ImageType)
        assert file.SeriesDescription == text
        assert file.LossyImageCompression == "01"
        record = from_description(file.ImageComments)
        assert {key: record[key] for key in made} == made
    assert len({file.SeriesInstanceUID for file in files}) == 1
    assert len({file.SOPInstanceUID for file in files}) == 3
    whole = json.loads((path / RECORD_FILE).read_text())["infbrush_wsi"]
    assert (whole["state"], whole["lattice"]["transform"][0]) == ("complete", 0.25)


def test_a_record_too_long_for_a_comment_is_beside_the_files_only(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    path = write(tmp_path / "a.dicom", smooth(20, 30), provenance=MADE | {"note": "x" * 11_000})
    assert "ImageComments" not in pydicom.dcmread(next(path.glob("*.dcm")), stop_before_pixels=True)
    assert len(json.loads((path / RECORD_FILE).read_text())["infbrush_wsi"]["note"]) == 11_000


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"pixels": smooth(c=4)}, BandMismatchError),
        ({"lattice": Lattice.regular(Shape(301, 517), 1, "degree")}, MissingMppError),
        ({"compression": "webp"}, ConfigError),
        ({"path": "no/folder/a.dicom"}, OutputError),
    ],
)
def test_bad_input_leaves_nothing(tmp_path, change, error):
    given = {"path": "a.dicom", "pixels": smooth()} | change
    with pytest.raises(error):
        write(tmp_path / given.pop("path"), given.pop("pixels"), **given)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_block_leaves_the_old_folder(tmp_path, tree):
    def broken(block, block_info=None):
        if block_info[0]["array-location"][0][0] >= 300:
            raise RuntimeError("the disk of the source is gone")
        return block

    path = write(tmp_path / "a.dicom", smooth(20, 30))
    before = tree(tmp_path)
    level0 = da.from_array(smooth(), chunks=(100, 100, 3)).map_blocks(broken, dtype=np.uint8, meta=np.empty((0, 0, 0)))
    given = {"lattice": Lattice.regular(Shape(301, 517), 1), "provenance": MADE}
    with pytest.raises(OutputExistsError):
        write_dicom(level0, path, **given)
    with pytest.raises(OutputError, match="the source is gone"):
        write_dicom(level0, path, overwrite=True, **given)
    assert tree(tmp_path) == before
