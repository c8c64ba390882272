"""GeoTIFFs that are sound, and what can be wrong with one."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from affine import Affine
from PIL import Image

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import ConfigError, CorruptSourceError, SourceNotFoundError, UnsupportedSourceError
from infbrush_wsi.validation import Validation, validate_raster
from infbrush_wsi.writers.geotiff import write_geotiff

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("rio_cogeo")
MADE = {"synthetic": True, "system": "infbrush", "seed": 7}
PLACE = Affine(0.6, 0, 500_000, 0, -0.6, 4_420_000)


def write(path: Path, crs: str | None = "EPSG:26914", **changes) -> Path:
    image = np.random.default_rng(0).integers(0, 256, (600, 700, 3), np.uint8)
    lattice = Lattice(Shape(600, 700), PLACE, "meter", crs)
    return write_geotiff(da.from_array(image), path, **{"lattice": lattice, "provenance": MADE} | changes)


def graded(found: Validation, grade: str) -> list[str]:
    return [f"{finding.check}: {finding.text}" for finding in found.findings if finding.grade == grade]


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write(tmp_path / "a.tif")


def test_what_the_writer_writes_is_valid(sound):
    found = validate_raster(sound, decode=True)
    assert found.valid
    assert [f"{finding.grade} {finding.check}: {finding.text}" for finding in found.findings] == [
        "ok layout: a valid COG, overviews 1/2, 1/4",
        "ok place: EPSG:26914, 0.6 x 0.6 metre a pixel",
        "ok pixels: 14 blocks were decoded",
        "ok provenance: synthetic, system infbrush, seed 7",
    ]


def test_windows_limits_what_is_decoded(sound):
    assert "pixels: 5 blocks were decoded" in graded(validate_raster(sound, windows=2), "ok")


def test_a_cog_that_was_changed_in_place_is_none_any_more(sound):
    with rasterio.open(sound, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        raster.write(np.random.default_rng(1).integers(0, 256, (600, 700), np.uint8), 1)
    found = validate_raster(sound)
    assert not found.valid
    assert any(text.startswith("layout: not a valid COG") for text in graded(found, "error"))


def test_a_plain_geotiff_is_valid_but_no_cog(tmp_path):
    how = {"driver": "GTiff", "width": 700, "height": 600, "count": 1, "dtype": "uint8", "transform": PLACE}
    with rasterio.open(tmp_path / "a.tif", "w", **how) as raster:
        raster.write(np.ones((1, 600, 700), np.uint8))
    found = validate_raster(tmp_path / "a.tif")
    assert found.valid
    warned = [text.split(":")[0] for text in graded(found, "warning")]
    assert set(warned) == {"layout", "place", "provenance"}


def test_a_damaged_block_is_found(sound):
    with rasterio.open(sound) as raster:
        place, length = (int(raster.get_tag_item(f"BLOCK_{what}_1_1", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    content = bytearray(sound.read_bytes())
    content[place : place + length] = bytes(length)
    sound.write_bytes(content)
    found = validate_raster(sound, decode=True)
    assert any(text.startswith("pixels: level 0 cannot be decoded") for text in graded(found, "error"))


def test_a_record_that_does_not_say_whether_it_is_synthetic_is_an_error(tmp_path):
    found = validate_raster(write(tmp_path / "a.tif", provenance={"synthetic": "perhaps"}))
    assert graded(found, "error") == ["provenance: synthetic must be true or false, not 'perhaps'"]


def test_what_is_no_geotiff_is_refused(sound, tmp_path):
    with pytest.raises(SourceNotFoundError):
        validate_raster(tmp_path / "no.tif")
    Image.new("RGB", (20, 20)).save(tmp_path / "plain.tif")
    with pytest.raises(UnsupportedSourceError, match="is no GeoTIFF"):
        validate_raster(tmp_path / "plain.tif")
    with pytest.raises(ConfigError):
        validate_raster(sound, windows=0)
    cut = tmp_path / "cut.tif"
    cut.write_bytes(sound.read_bytes()[: sound.stat().st_size // 2])
    with pytest.raises(CorruptSourceError, match="truncated"):
        validate_raster(cut)
