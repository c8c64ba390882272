"""The journal of a write: which units are on disk, with a checksum of their bytes, one line each.

A line is appended after its unit is on disk, so a unit in the journal was complete at that time; whether it still is
says the checksum. Every process has a file of its own, because appending from several machines to one file of a shared
file system would mix the lines.
"""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections import defaultdict
from pathlib import Path

from infbrush_wsi.writers.units import Unit

PREFIX = "journal-"
DIGEST_BYTES = 16
READ = 1 << 20

_PROCESS = uuid.uuid4().hex[:12]


class Journal:
    """Appends to the file of this process; copies in other processes append to theirs.

    Args:
        folder: where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, unit: Unit, file: Path) -> None:
        """Note that `unit` is stored in `file`.

        Raises:
            OSError: if the line cannot be written whole.
        """
        # The empty line before it parts it from one that a full disk has cut short.
        line = f"\n{unit.level} {unit.row} {unit.column} {checksum(file)}\n".encode("ascii")
        path = self._folder / f"{PREFIX}{os.getpid()}-{_PROCESS}.txt"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        finally:
            os.close(descriptor)


def journal_files(folder: Path) -> list[Path]:
    """All files of a journal."""
    return sorted(folder.glob(f"{PREFIX}*.txt"))


def read_journal(folder: Path) -> dict[Unit, set[str]]:
    """Units with the checksums that were noted for them; lines that are torn or damaged are passed over."""
    found: defaultdict[Unit, set[str]] = defaultdict(set)
    for path in journal_files(folder):
        for line in path.read_bytes().split(b"\n"):
            entry = _parse(line)
            if entry is not None:
                found[entry[0]].add(entry[1])
    return dict(found)


def checksum(file: Path) -> str:
    """BLAKE2 of a file's bytes, as hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with file.open("rb") as stream:
        while piece := stream.read(READ):
            digest.update(piece)
    return digest.hexdigest()


def _parse(line: bytes) -> tuple[Unit, str] | None:
    try:
        level, row, column, digest = line.decode("ascii").split(" ")
        if len(bytes.fromhex(digest)) == DIGEST_BYTES:
            return Unit(int(level), int(row), int(column)), digest
    except ValueError:
        pass
    return None
