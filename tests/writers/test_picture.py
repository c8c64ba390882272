"""PNG and JPEG."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.errors import BandMismatchError, ConfigError, OutputError, OutputExistsError, RegionError
from infbrush_wsi.writers.description import from_description, to_description
from infbrush_wsi.writers.picture import check_picture, write_picture

MADE = {"synthetic": True, "condition": "Invasive"}


def noise(c):
    return np.random.default_rng(0).integers(0, 256, (20, 30, c), np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_keeps_pixels_provenance_and_pixel_size(tmp_path, channels):
    path = write_picture(noise(channels), tmp_path / "a.png", provenance=MADE, mpp=0.5)
    with Image.open(path) as found:
        expected = noise(channels)[..., 0] if channels == 1 else noise(channels)[..., :3]
        np.testing.assert_array_equal(np.asarray(found), expected)
        assert from_description(found.info["Description"]) == MADE
        assert 25_400 / found.info["dpi"][0] == pytest.approx(0.5, rel=1e-3)


def test_jpeg_says_that_it_is_synthetic(tmp_path):
    path = write_picture(np.full((20, 30, 3), 90, np.uint8), tmp_path / "a.JPG", provenance=MADE, mpp=0.25)
    with Image.open(path) as found:
        assert found.format == "JPEG"
        assert np.abs(np.asarray(found).astype(int) - 90).max() <= 2
        assert from_description(found.getexif()[270]) == MADE


@pytest.mark.parametrize(
    ("w", "h", "name", "error"),
    [
        (2**14, 2**14, "a.png", None),
        (2**14 + 1, 2**14, "a.png", RegionError),
        (65_536, 10, "a.jpg", RegionError),
        (10, 10, "a.gif", ConfigError),
    ],
)
def test_limits(tmp_path, w, h, name, error):
    if error is None:
        check_picture(w, h, tmp_path / name)
        return
    with pytest.raises(error, match=r"choose|must end"):
        check_picture(w, h, tmp_path / name)


def test_bad_input_leaves_nothing(tmp_path):
    with pytest.raises(BandMismatchError):
        write_picture(noise(2), tmp_path / "a.png", provenance=MADE)
    with pytest.raises(OutputError):
        write_picture(noise(3), tmp_path / "no" / "a.png", provenance=MADE)
    assert list(tmp_path.iterdir()) == []
    write_picture(noise(3), tmp_path / "a.png", provenance=MADE)
    with pytest.raises(OutputExistsError):
        write_picture(noise(3), tmp_path / "a.png", provenance=MADE)


def test_descriptions():
    record = {"synthetic": True, "text": 'é " & {x}'}
    text = to_description(record)
    assert text.isascii()
    assert from_description(f"before {text} after") == record
    assert from_description("&quot;".join(f"<Description>{text}</Description>".split('"'))) == record
    assert from_description("Aperio Image Library") is None
    assert from_description('{"infbrush_wsi": {broken') is None
    assert from_description('{"infbrush_wsi": 3}') is None
