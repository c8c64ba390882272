"""Identity of a source by samples of its content, so that a moved or copied file keeps it."""

from __future__ import annotations

import hashlib
from pathlib import Path

SAMPLE_BYTES = 64 * 1024
MAX_CHUNKS = 64
METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata")


def _sample(digest: hashlib._Hash, path: Path) -> None:
    size = path.stat().st_size
    digest.update(str(size).encode())
    with path.open("rb") as file:
        for offset in sorted({0, max(0, size // 2 - SAMPLE_BYTES // 2), max(0, size - SAMPLE_BYTES)}):
            file.seek(offset)
            digest.update(file.read(SAMPLE_BYTES))


def _sample_directory(digest: hashlib._Hash, root: Path) -> None:
    # Level names sort from fine to coarse, so the last data files are the coarsest pixels: few, and they cover all.
    files = sorted(path for path in root.glob("*") if path.is_file())
    folders = sorted((path for path in root.glob("*") if path.is_dir()), key=lambda p: (len(p.name), p.name))
    metadata = [path for path in files if path.name in METADATA]
    metadata += [folder / name for folder in folders for name in METADATA if (folder / name).is_file()]
    chunks = sorted(path for path in folders[-1].rglob("*") if path.is_file()) if folders else []
    for path in metadata + chunks[:MAX_CHUNKS]:
        digest.update(path.relative_to(root).as_posix().encode())
        _sample(digest, path)


def fingerprint(path: str, *details: object) -> str:
    """A stable identifier of what is at `path`, read with `details`.

    Three samples of a file's bytes and its size, the metadata and coarsest chunks of a directory, or the address of
    something remote. Not a checksum: a change in the middle of a file may go unnoticed.

    Args:
        path: file, directory or URL.
        details: whatever else changes the pixels (bands, scale); compared by their repr.

    Returns:
        32 hexadecimal digits.

    Raises:
        OSError: if the file cannot be read.
    """
    digest = hashlib.sha256()
    local = Path(path)
    if "://" in path or path.startswith("/vsi"):
        digest.update(path.encode())
    elif local.is_dir():
        _sample_directory(digest, local)
    else:
        _sample(digest, local)
    for detail in details:
        digest.update(repr(detail).encode())
    return digest.hexdigest()[:32]
