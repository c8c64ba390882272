"""Sizes after decoding are those of the codecs, and bombs are told from chunks before they go off."""

from __future__ import annotations

import zlib

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from infbrush_wsi.errors import CorruptSourceError
from infbrush_wsi.sources import contained
from infbrush_wsi.sources.contained import open_contained
from infbrush_wsi.sources.inflated import ZSTD_BLOCK, inflated_bytes

CODECS = [numcodecs.Zstd(), numcodecs.Zstd(checksum=True), numcodecs.Blosc(), numcodecs.Blosc("zstd", shuffle=2)]


@given(st.binary(min_size=1, max_size=3000), st.integers(1, 40), st.sampled_from(CODECS))
def test_headers_say_the_size(data, times, codec):
    whole = data * times
    assert inflated_bytes(bytes(codec.encode(whole)), 1 << 30) == len(whole)


@pytest.mark.parametrize("codec", [numcodecs.GZip(), numcodecs.Zlib()])
def test_deflated_data_are_counted_up_to_the_limit(codec):
    stored = bytes(codec.encode(bytes(1 << 20)))
    assert inflated_bytes(stored, 1 << 20) == 1 << 20
    assert 1 << 18 < inflated_bytes(stored, 1 << 18) <= 1 << 22
    assert inflated_bytes(stored, 1 << 30) == 0  # it cannot come to so much


def test_a_frame_without_its_size_is_bounded_by_its_blocks():
    block = ((ZSTD_BLOCK << 3) | 2).to_bytes(3, "little") + b"\0"
    last = ((ZSTD_BLOCK << 3) | 3).to_bytes(3, "little") + b"\0"
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + block * 9 + last
    assert inflated_bytes(frame, 1 << 30) == 10 * ZSTD_BLOCK
    assert len(numcodecs.Zstd().decode(frame)) == 10 * ZSTD_BLOCK


@given(st.binary(max_size=60))
def test_any_bytes_have_a_size(data):
    assert inflated_bytes(data, 1 << 20) >= 0
    assert inflated_bytes(b"\x28\xb5\x2f\xfd" + data, 1 << 20) >= 0
    assert inflated_bytes(b"\x78\x9c" + data, 1) >= 0


@pytest.mark.parametrize("compressor", [numcodecs.Zstd(), numcodecs.Blosc(), numcodecs.GZip()])
def test_a_chunk_that_is_a_bomb_is_refused(tmp_path, monkeypatch, compressor):
    path = str(tmp_path / "a.zarr")
    group = zarr.open_group(path, mode="w", zarr_format=2)
    array = group.create_array("0", shape=(64, 64), chunks=(64, 64), dtype="u1", compressors=compressor)
    array[:] = np.arange(4096, dtype=np.uint8).reshape(64, 64)
    monkeypatch.setattr(contained, "MAX_CHUNK_BYTES", 1 << 20)
    assert open_contained(path)["0"][:].sum() == array[:].sum()
    (tmp_path / "a.zarr" / "0" / "0.0").write_bytes(bytes(compressor.encode(bytes(3 << 20))))
    with pytest.raises(CorruptSourceError, match="no chunk may become more than 1048576"):
        open_contained(path)["0"][:]


def test_raw_data_that_look_compressed_are_read(tmp_path):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    array = group.create_array("0", shape=(4, 64), chunks=(1, 64), dtype="u1", compressors=None)
    starts = [zlib.compress(b"a")[:2], b"\x1f\x8b", b"\x02\x01", b"\x28\xb5\x2f"]
    array[:] = np.stack([np.frombuffer(start.ljust(64, b"\xff"), np.uint8) for start in starts])
    assert np.array_equal(open_contained(str(tmp_path / "a.zarr"))["0"][:], array[:])
