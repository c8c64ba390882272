from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.domain import Box
from infbrush_wsi.errors import (
    BandMismatchError,
    CorruptSourceError,
    MissingMppError,
    SourceNotFoundError,
    SourceTooLargeError,
    UnsupportedSourceError,
)
from infbrush_wsi.sources import open_source


def whole(source: Any) -> Any:
    h, w = source.level_shapes[0]
    return source.read_box(Box(0, 0, w, h))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_lossless_formats(tmp_path: Path, make: Any, suffix: str) -> None:
    pixels = make.texture(70, 90)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path, **({"lossless": True} if suffix == "webp" else {}))
    source = open_source(path)
    assert (source.name, source.mpp, source.level_count) == ("image", None, 1)
    np.testing.assert_array_equal(whole(source), pixels)
    np.testing.assert_array_equal(source.read_region((80, 60), 0, (20, 20))[:10, :10], pixels[60:, 80:])
    assert (source.read_region((80, 60), 0, (20, 20))[10:] == 255).all()


def test_jpeg_and_a_wrong_suffix(tmp_path: Path, make: Any) -> None:
    Image.fromarray(make.texture(70, 90)).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(image)
    np.testing.assert_array_equal(whole(open_source(tmp_path / "a.png")), expected)


def test_modes_become_gray_or_rgb(tmp_path: Path, make: Any) -> None:
    pixels = make.texture(40, 50)
    rgb = Image.fromarray(pixels)
    for mode, channels in [("L", 1), ("1", 1), ("P", 3), ("RGBA", 3), ("LA", 1)]:
        path = tmp_path / f"{mode}.png"
        rgb.convert(mode).save(path)
        source = open_source(path)
        assert source.channels == channels
        expected = np.asarray(rgb.convert(mode).convert("RGB" if channels == 3 else "L"))
        np.testing.assert_array_equal(whole(source), expected.reshape(40, 50, channels))


def test_alpha_is_the_mask(tmp_path: Path, make: Any) -> None:
    pixels = make.texture(40, 50, 4)
    pixels[..., 3] = 0
    pixels[10:20, 5:30, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_source(tmp_path / "a.png").mask()[0], pixels[..., 3] > 0)
    Image.fromarray(pixels[..., :3]).save(tmp_path / "b.png")
    assert open_source(tmp_path / "b.png").mask()[0].all()


def test_physical_resolution_tags(tmp_path: Path, make: Any) -> None:
    image = Image.fromarray(make.texture(64, 64))
    image.save(tmp_path / "a.tif", resolution=25400 / 0.42, resolution_unit="inch")
    assert open_source(tmp_path / "a.tif").mpp == pytest.approx(0.42, rel=1e-3)
    image.save(tmp_path / "b.png", dpi=(25400 / 0.5, 25400 / 0.5))
    assert open_source(tmp_path / "b.png").mpp == pytest.approx(0.5, rel=1e-3)
    image.save(tmp_path / "c.jpg", dpi=(300, 300))
    source = open_source(tmp_path / "c.jpg")
    assert source.mpp is None
    with pytest.raises(MissingMppError):
        source.at(1.0)
    assert open_source(tmp_path / "c.jpg", mpp=0.42).at(0.84).shape.as_tuple() == (32, 32)
    with pytest.raises(MissingMppError, match="positive"):
        open_source(tmp_path / "c.jpg", mpp=-1.0)


def test_sixteen_bits(tmp_path: Path) -> None:
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    Image.fromarray(values).save(tmp_path / "a.png")
    with pytest.raises(UnsupportedSourceError, match="scale="):
        open_source(tmp_path / "a.png")
    read = whole(open_source(tmp_path / "a.png", scale=(0, 65535)))[..., 0]
    assert np.abs(read - values / 257).max() <= 0.51


def test_sixteen_bit_colour_is_not_silently_cut(tmp_path: Path, make: Any) -> None:
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in make.texture(8, 8).astype(np.uint16) * 257)
    path = tmp_path / "a.png"
    path.write_bytes(_png(8, 8, 16, zlib.compress(rows)))
    with pytest.raises(UnsupportedSourceError, match="16 bits"):
        open_source(path)
    pytest.importorskip("rasterio")
    source = open_source(path, reader="rasterio", scale=(0, 65535))
    np.testing.assert_array_equal(whole(source), make.texture(8, 8))


def test_bands(tmp_path: Path, make: Any) -> None:
    pixels = make.texture(40, 50)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(whole(open_source(tmp_path / "a.png", bands=(2,))), pixels[..., 1:2])
    with pytest.raises(BandMismatchError, match="no band 4"):
        open_source(tmp_path / "a.png", bands=(4,))


def test_huge_declared_sizes(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(_png(200_000, 200_000, 8, zlib.compress(b"\x00" * 100)))
    with pytest.raises(SourceTooLargeError, match=r"bomb\.png"):
        open_source(path)
    Image.fromarray(make.texture(40, 50)).save(tmp_path / "a.png")
    with pytest.raises(SourceTooLargeError, match="max_pixels=1999"):
        open_source(tmp_path / "a.png", max_pixels=1999)
    assert open_source(tmp_path / "a.png", max_pixels=2000).channels == 3


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_truncated(tmp_path: Path, make: Any, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(make.texture(200, 200)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorruptSourceError, match=rf"a\.{suffix}"):
        whole(open_source(path))


def test_a_file_that_changed_meanwhile(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(make.texture(40, 50)).save(path)
    source = open_source(path)
    Image.fromarray(make.texture(30, 50)).save(path)
    with pytest.raises(CorruptSourceError, match="changed"):
        whole(source)
    path.unlink()
    with pytest.raises(SourceNotFoundError, match="gone"):
        whole(source)


def _png(width: int, height: int, bits: int, data: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
