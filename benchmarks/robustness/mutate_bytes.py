"""Damage to files as bytes."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

MAGICS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"BM",
    b"RIFF",
    b"PK\x03\x04",
    b"\x80\x04\x95",
    b"\x1f\x8b\x08\x00",
    b"%PDF-1.7",
    b"\x7fELF",
    b"#!/bin/sh\n",
    b"<?xml ",
    b"\xef\xbb\xbf",
    b"DICM",
)
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


def damaged(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    """Bytes with one to three kinds of damage, and what was done."""
    said = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        how = rng.choice(KINDS)
        data = how(rng, data)
        said.append(how.__name__.strip("_"))
    return data, "+".join(said)


def damage_file(rng: random.Random, path: Path) -> str:
    """Damage a file in place."""
    data, said = damaged(rng, path.read_bytes())
    path.write_bytes(data)
    return f"{path.name}: {said}"


def _truncated(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))] if data else data


def _cut_in_header(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(1, 64)]


def _emptied(rng: random.Random, data: bytes) -> bytes:
    return b""


def _bits_turned(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    # Half of the damage near the start, where headers are.
    reach = len(changed) if rng.random() < 0.5 else min(len(changed), 512)
    for _ in range(rng.choice((1, 1, 2, 4, 16)) if changed else 0):
        changed[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwritten(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    length = rng.choice((1, 4, 16, 256, 4096))
    fill = rng.choice((b"\x00", b"\xff", bytes([rng.randrange(256)])))
    return data[:start] + (fill * length)[: len(data) - start] + data[start + length :]


def _number_put(rng: random.Random, data: bytes) -> bytes:
    width, code = rng.choice(((2, "H"), (4, "I"), (8, "Q")))
    packed = struct.pack(rng.choice("<>") + code, rng.choice(NUMBERS) & (256**width - 1))
    reach = max(1, min(len(data), rng.choice((64, 512, 4096, 1 << 30))) - width)
    start = rng.randrange(reach)
    return data[:start] + packed + data[start + width :]


def _part_removed(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 2, 8, 64, 1024)) :]


def _part_repeated(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start : start + rng.choice((1, 8, 64, 1024))] + data[start:]


def _wrong_magic(rng: random.Random, data: bytes) -> bytes:
    magic = rng.choice(MAGICS)
    return magic + data[len(magic) :]


def _garbage(rng: random.Random, data: bytes) -> bytes:
    return rng.choice(MAGICS) + rng.randbytes(rng.choice((0, 16, 1000)))


def _appended(rng: random.Random, data: bytes) -> bytes:
    return data + rng.randbytes(rng.choice((1, 100, 5000)))


KINDS = (
    _truncated,
    _cut_in_header,
    _emptied,
    _bits_turned,
    _bits_turned,
    _overwritten,
    _number_put,
    _number_put,
    _part_removed,
    _part_repeated,
    _wrong_magic,
    _garbage,
    _appended,
)


def png_bomb(width: int, height: int, rows: int | None = None) -> bytes:
    """A PNG of a size that its few bytes inflate to, or claim to."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    deflater = zlib.compressobj(9)
    pixels = b"".join(deflater.compress(bytes(width + 1)) for _ in range(height if rows is None else rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", pixels + deflater.flush()) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
