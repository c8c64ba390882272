"""Absurd sizes and contradictions in the headers of images, which damage at random places seldom makes."""

from __future__ import annotations

import random
import struct
import zlib

from mutate_bytes import NUMBERS

TAGS = {
    256: "width",
    257: "height",
    258: "bits",
    259: "compression",
    262: "photometric",
    273: "strip offsets",
    277: "samples",
    278: "rows per strip",
    279: "strip counts",
    282: "x resolution",
    283: "y resolution",
    284: "planes",
    317: "predictor",
    322: "tile width",
    323: "tile height",
    324: "tile offsets",
    325: "tile counts",
    330: "sub-images",
    339: "sample format",
    33550: "pixel scale",
    33922: "tie point",
    34735: "geo keys",
}
VALUES = (*NUMBERS[:9], 2, 3, 5, 8, 15, 16, 100, 1000, 10_000, 65_536, 100_000, 1_000_000, 0x10000000)
SIDES = (0, 1, 2, 100, 1000, 30_000, 65_500, 100_000, 1_000_000, 0x7FFFFFFF, 0xFFFFFFFF)


def tag_changed(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    """A TIFF with other values in one to three entries of one of its directories; classic or BigTIFF."""
    entries = _entries(data)
    if not entries:
        return data[:100], "truncated"
    said = []
    changed = bytearray(data)
    known = [entry for entry in entries if entry[0] in TAGS] or entries
    for tag, place, order, big in rng.choices(known, k=rng.choice((1, 1, 2, 3))):
        value, part = rng.choice(VALUES), rng.choice(("value", "value", "value", "count", "type"))
        if part == "type":
            struct.pack_into(f"{order}H", changed, place + 2, rng.choice((0, 1, 2, 3, 4, 5, 12, 16, 99)))
        else:
            code, at = ("Q", {"count": 4, "value": 12}[part]) if big else ("I", {"count": 4, "value": 8}[part])
            struct.pack_into(f"{order}{code}", changed, place + at, value & (2**64 - 1 if big else 2**32 - 1))
        said.append(f"{part} of {TAGS.get(tag, tag)} = {value}")
    return bytes(changed), "; ".join(said)


def _entries(data: bytes) -> list[tuple[int, int, str, bool]]:
    """(tag, place, byte order, whether a BigTIFF) of all entries of all directories."""
    if data[:2] not in (b"II", b"MM") or len(data) < 16:
        return []
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    at = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)[0]
    count_code, size, link = ("Q", 20, "Q") if big else ("H", 12, "I")
    found: list[tuple[int, int, str, bool]] = []
    while at and len(found) < 500:
        try:
            count = struct.unpack_from(order + count_code, data, at)[0]
            first = at + struct.calcsize(count_code)
            places = range(first, first + min(count, 100) * size, size)
            found += [(struct.unpack_from(f"{order}H", data, place)[0], place, order, big) for place in places]
            at = struct.unpack_from(order + link, data, first + count * size)[0]
        except struct.error:
            break
    return found


def size_changed(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    """A PNG, JPEG or BMP that declares another size."""
    width, height = rng.choice(SIDES), rng.choice(SIDES)
    changed = bytearray(data)
    if data[:4] == b"\x89PNG":
        struct.pack_into(">II", changed, 16, width, height)
        struct.pack_into(">I", changed, 29, zlib.crc32(bytes(changed[12:29])))
    elif data[:2] == b"\xff\xd8":
        at = next((data.find(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if data.find(marker) > 0), -1)
        if at < 0:
            return data[:40], "truncated"
        struct.pack_into(">HH", changed, at + 5, height & 0xFFFF, width & 0xFFFF)
    elif data[:2] == b"BM":
        struct.pack_into("<II", changed, 18, width, height)
    else:
        return data[:40], "truncated"
    return bytes(changed), f"declares {width} x {height}"
