"""How large a compressed chunk becomes, found out before it is decoded: a few kilobytes may stand for gigabytes.

Known are the codecs of OME-Zarr images: Zstandard, Blosc, gzip, zlib. Zstandard and Blosc say their size in a header,
and their decoders believe no other; of deflated data it is counted.
"""

from __future__ import annotations

import zlib

ZSTD, GZIP, BLOSC = b"\x28\xb5\x2f\xfd", b"\x1f\x8b", 2
ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
ZSTD_BLOCK = 1 << 17
"""Bytes that a compressed block becomes at most."""
DEFLATED = 1032
"""Bytes that a deflated one becomes at most."""
PIECE = 1 << 22


def inflated_bytes(data: bytes, limit: int) -> int:
    """Size after decoding, 0 if the codec is not known or does not say it.

    Args:
        data: a chunk as it is stored.
        limit: deflated data are counted so far only, and not if they cannot come to so much.
    """
    if data.startswith(ZSTD):
        return _of_zstd(data)
    if data.startswith((GZIP, *ZLIB)):
        return _of_deflated(data, limit) if len(data) * DEFLATED > limit else 0
    if len(data) >= 16 and data[0] == BLOSC and int.from_bytes(data[12:16], "little") == len(data):
        return int.from_bytes(data[4:8], "little")
    return 0


def _of_zstd(data: bytes) -> int:
    """The content size of the frame's header (RFC 8878, 3.1.1.1), or what its blocks can hold at most."""
    if len(data) < 6:
        return 0
    flags = data[4]
    single = (flags >> 5) & 1
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    length = (single, 2, 4, 8)[flags >> 6]
    if length:
        return int.from_bytes(data[start : start + length], "little") + (256 if length == 2 else 0)
    total, last = 0, False
    while not last and start + 3 <= len(data):
        header = int.from_bytes(data[start : start + 3], "little")
        last, kind, size = bool(header & 1), (header >> 1) & 3, header >> 3
        total += ZSTD_BLOCK if kind == 2 else size
        start += 3 + (1 if kind == 1 else size)
    return total


def _of_deflated(data: bytes, limit: int) -> int:
    inflater, total = zlib.decompressobj(47), 0  # 47: either header
    try:
        while data and total <= limit and not inflater.eof:
            total += len(inflater.decompress(data, PIECE))
            data = inflater.unconsumed_tail
    except zlib.error:
        return 0  # its decoder says so too
    return total
