"""Damage to folders: files that are missing, replaced, linked or damaged inside."""

from __future__ import annotations

import os
import random
import shutil
import zlib
from pathlib import Path

from mutate_bytes import damage_file
from mutate_documents import damage_json

OUTSIDE = "outside.bin"
BOMB = 1 << 31
"""Bytes that a bomb inflates to."""


def damage_folder(rng: random.Random, root: Path, *, metadata: float = 0.6) -> list[str]:
    """Damage a folder of files in place, one to three times; `metadata` is the share of damage to JSON files."""
    return [_damage(rng, root, metadata) for _ in range(rng.choice((1, 1, 1, 2, 3)))]


def _damage(rng: random.Random, root: Path, metadata: float) -> str:
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    documents = [path for path in files if _is_json(path)]
    if not files:
        return "nothing is left to damage"
    if documents and rng.random() < metadata:
        try:
            return damage_json(rng, rng.choice(documents))
        except ValueError:
            return "a document is no JSON any more"
    return rng.choice(KINDS)(rng, root, rng.choice(files))


def _is_json(path: Path) -> bool:
    return path.suffix == ".json" or path.name in (".zattrs", ".zarray", ".zgroup", ".zmetadata")


def _bytes(rng: random.Random, root: Path, file: Path) -> str:
    return damage_file(rng, file)


def _removed(rng: random.Random, root: Path, file: Path) -> str:
    file.unlink()
    return f"removed {file.relative_to(root)}"


def _folder_removed(rng: random.Random, root: Path, file: Path) -> str:
    if file.parent != root:
        shutil.rmtree(file.parent)
    return f"removed the folder of {file.relative_to(root)}"


def _as_folder(rng: random.Random, root: Path, file: Path) -> str:
    file.unlink()
    file.mkdir()
    return f"{file.relative_to(root)} is a folder"


def _as_pipe(rng: random.Random, root: Path, file: Path) -> str:
    file.unlink()
    os.mkfifo(file)
    return f"{file.relative_to(root)} is a named pipe"


def _linked(rng: random.Random, root: Path, file: Path) -> str:
    outside = root.parent / OUTSIDE
    if not outside.exists():
        shutil.copyfile(file, outside)
    target = rng.choice((str(outside), "/etc/passwd", "/dev/zero", "/nowhere", file.name, "..", "/"))
    file.unlink()
    file.symlink_to(target)
    return f"{file.relative_to(root)} is a link to {Path(target).name or target}"


def _folder_linked(rng: random.Random, root: Path, file: Path) -> str:
    folder = file.parent
    if folder == root:
        return _linked(rng, root, file)
    moved = root.parent / "moved"
    if moved.exists():
        return "no second folder is moved"
    folder.rename(moved)
    folder.symlink_to(rng.choice((str(moved), str(root), "..", ".")))
    return f"{folder.relative_to(root)} is a link"


def _bomb(rng: random.Random, root: Path, file: Path) -> str:
    kind = rng.choice(("zlib", "gzip", "blosc", "zstd"))
    file.write_bytes(bomb(kind))
    return f"{file.relative_to(root)} is a {kind} bomb"


def _swapped(rng: random.Random, root: Path, file: Path) -> str:
    other = rng.choice(sorted(path for path in root.rglob("*") if path.is_file()))
    shutil.copyfile(other, file.with_name(f"{file.name}~"))
    file.with_name(f"{file.name}~").replace(file)
    return f"{file.relative_to(root)} has the content of {other.name}"


KINDS = (
    _bytes,
    _bytes,
    _bytes,
    _removed,
    _folder_removed,
    _as_folder,
    _as_pipe,
    _linked,
    _linked,
    _folder_linked,
    _bomb,
    _swapped,
)
_BOMBS: dict[str, bytes] = {}


def bomb(kind: str) -> bytes:
    """A few bytes or megabytes that a codec turns into two gigabytes, or says so."""
    if kind not in _BOMBS:
        _BOMBS[kind] = _made(kind)
    return _BOMBS[kind]


def _made(kind: str) -> bytes:
    zeros = bytes(1 << 24)
    if kind == "blosc":
        # Version, lz, flags, type size; then the sizes that it says: inflated, of a block, of itself.
        return (
            bytes([2, 1, 0x12, 1])
            + (BOMB - 17).to_bytes(4, "little")
            + (1 << 20).to_bytes(4, "little")
            + (64).to_bytes(4, "little")
            + bytes(48)
        )
    if kind == "zstd":
        # A frame with a content size of eight bytes, and one block of repeated zeros after the other.
        block = (((1 << 17) << 3) | 2).to_bytes(3, "little") + b"\x00"
        count = BOMB >> 17
        body = block * (count - 1) + (((1 << 17) << 3) | 3).to_bytes(3, "little") + b"\x00"
        return b"\x28\xb5\x2f\xfd\xe0" + BOMB.to_bytes(8, "little") + body
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31 if kind == "gzip" else 15)
    return b"".join(deflater.compress(zeros) for _ in range(BOMB >> 24)) + deflater.flush()
