"""DeepZoom images that are sound, and what can be wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from affine import Affine
from PIL import Image

from infbrush_wsi import __version__
from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import ConfigError, CorruptSourceError, SourceNotFoundError, UnsupportedSourceError
from infbrush_wsi.validation import Validation, validate_deepzoom, validate_image
from infbrush_wsi.writers.deepzoom import write_deepzoom

MADE = {"synthetic": True, "system": "infbrush", "seed": 7}


def picture(h: int = 301, w: int = 517, c: int = 3) -> np.ndarray:
    y, x = np.mgrid[:h, :w]
    bands = [128 + 60 * np.sin(x / (37 + k)) + 50 * np.cos(y / (41 + k)) for k in range(c)]
    return np.stack(bands, axis=-1).astype(np.uint8)


def write(folder: Path, pixels: np.ndarray, **changes) -> Path:
    lattice = Lattice.regular(Shape(*pixels.shape[:2]), 0.5)
    return write_deepzoom(da.from_array(pixels), folder / "a.dzi", **{"lattice": lattice, "provenance": MADE} | changes)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write(tmp_path, picture())


def graded(found: Validation, grade: str) -> list[str]:
    return [f"{finding.check}: {finding.text}" for finding in found.findings if finding.grade == grade]


def record(image: Path, change) -> Path:
    file = image.with_name("a_files") / "provenance.json"
    values = json.loads(file.read_text())
    change(values["infbrush_wsi"])
    file.write_text(json.dumps(values))
    return image


def test_what_the_writer_writes_is_valid(image):
    found = validate_image(image, decode=True)
    assert found.valid
    assert {finding.grade for finding in found.findings} == {"ok"}
    said = graded(found, "ok")
    assert said[:3] == [
        "description: 517 x 301 px in 11 levels of jpg tiles of 254 px",
        "tiles: all 17 are there",
        "physical size: 0.5 x 0.5 micrometer a pixel",
    ]
    assert said[3] == "pixels: 17 blocks were decoded"
    assert said[4].startswith("pyramid: levels differ from the means of finer ones by ")
    assert said[5:] == [f"provenance: synthetic, system infbrush, seed 7, package_version {__version__}"]


@pytest.mark.parametrize(
    ("shape", "options"),
    [((1, 1, 3), {}), ((700, 3, 1), {"tile_format": "png"}), ((509, 508, 4), {"tile_format": "png"})],
)
def test_other_shapes_and_formats_are_valid(tmp_path, shape, options):
    assert validate_deepzoom(write(tmp_path, picture(*shape), **options), decode=True).valid


def test_lossless_levels_are_exactly_the_rounded_means(tmp_path):
    place = Affine(0.6, 0.1, 5e5, 0.1, -0.6, 4e6)
    lattice = Lattice(Shape(512, 512), place, "meter", "EPSG:26914")
    found = validate_deepzoom(write(tmp_path, picture(512, 512), tile_format="png", lattice=lattice))
    assert found.valid
    assert "physical size: 0.608276 x 0.608276 meter a pixel" in graded(found, "ok")
    (text,) = [text for text in graded(found, "ok") if text.startswith("pyramid")]
    errors = [float(part.split(" (")[0]) for part in text.split(" by ")[1].split(", ")]
    assert len(errors) == 5  # levels of fewer than 256 pixels are not compared
    assert max(errors) < 0.6  # halves are rounded to whole values


def test_windows_limits_what_is_decoded(image):
    assert "pixels: 13 blocks were decoded" in graded(validate_deepzoom(image, windows=2), "ok")


def test_missing_tiles_and_levels_are_found(image):
    tiles = image.with_name("a_files")
    (tiles / "10" / "2_1.jpg").unlink()
    (tiles / "3" / "0_0.jpg").unlink()
    (tiles / "3").rmdir()
    assert graded(validate_deepzoom(image), "error") == [
        "tiles: level 10 has 5 of 6 tiles; 2_1.jpg is not there",
        "tiles: level 3 has 0 of 1 tiles; 0_0.jpg is not there",
    ]


def test_damaged_tiles_are_found(image):
    tile = image.with_name("a_files") / "10" / "1_1.jpg"
    tile.write_bytes(tile.read_bytes()[: tile.stat().st_size // 2])
    (text,) = graded(validate_deepzoom(image, decode=True), "error")
    assert text.startswith("pixels: level 10 cannot be decoded at (1, 1): ")
    Image.new("RGB", (20, 30)).save(tile)
    (text,) = graded(validate_deepzoom(image, decode=True), "error")
    assert text == "pixels: level 10 cannot be decoded at (1, 1): the tile has 20 x 30 px, not 256 x 48"


def test_a_level_that_shows_something_else_is_found(image):
    tile = image.with_name("a_files") / "9" / "0_0.jpg"
    with Image.open(tile) as old:
        size = old.size
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)).save(tile, quality=95)
    assert any("it shows something else" in text for text in graded(validate_deepzoom(image), "error"))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda r: r.update(state="writing"), "the writing is unfinished: its state is 'writing'"),
        (lambda r: r.update(synthetic="perhaps"), "synthetic must be true or false, not 'perhaps'"),
        (lambda r: r["lattice"].update(shape=[10, 20]), "the record speaks of 20 x 10 px, level 0 has 517 x 301"),
        (lambda r: r.pop("lattice"), "the record's lattice cannot be understood"),
    ],
)
def test_a_wrong_record_is_found(image, change, text):
    (said,) = graded(validate_deepzoom(record(image, change)), "error")
    assert text in said


def test_a_record_that_is_none_is_an_error_and_its_absence_a_warning(image):
    file = image.with_name("a_files") / "provenance.json"
    file.write_text("{")
    assert "provenance: provenance.json holds no record" in graded(validate_deepzoom(image), "error")[0]
    file.unlink()
    found = validate_deepzoom(image)
    assert found.valid
    assert [text.split(":")[0] for text in graded(found, "warning")] == ["physical size", "provenance"]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", CorruptSourceError, "is no description"),
        ("<Collection/>", UnsupportedSourceError, "its root is <Collection>"),
        ('<Image TileSize="254" Overlap="1" Format="jpg"/>', CorruptSourceError, "lacks Size"),
        ('<Image TileSize="254" Overlap="1"><Size Width="2" Height="2"/></Image>', CorruptSourceError, "lacks Format"),
        (
            '<Image TileSize="0" Overlap="1" Format="jpg"><Size Width="2" Height="2"/></Image>',
            CorruptSourceError,
            "in tiles of 0",
        ),
    ],
)
def test_a_wrong_description_is_one_error(image, text, error, said):
    image.write_text(text)
    with pytest.raises(error, match=said):
        validate_deepzoom(image)


def test_bad_calls_are_one_error(image, tmp_path):
    with pytest.raises(SourceNotFoundError, match="there is no file"):
        validate_image(tmp_path / "no.dzi")
    with pytest.raises(UnsupportedSourceError, match=r"holds the tiles of .*a\.dzi: validate that"):
        validate_image(image.with_name("a_files"))
    with pytest.raises(ConfigError):
        validate_deepzoom(image, windows=0)
