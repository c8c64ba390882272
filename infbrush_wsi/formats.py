"""Versions of the files that this package writes, and what happens to files of another version.

A version is MAJOR.MINOR. A new minor version adds facts that an older reader may pass over; a new major one changes
what was there. Files of an older major version are converted when they are read, where a step for it is known; those of
a newer one are refused, because nobody can know what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infbrush_wsi.errors import InfbrushError

Record = dict[str, Any]
_TEXT = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,6}))?")


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        name: as messages call it.
        major: of the version that is written.
        minor: of the version that is written.
        steps: how the record of a major version becomes that of the next one, by the older number.
    """

    name: str
    major: int = 1
    minor: int = 0
    steps: Mapping[int, Callable[[Record], Record]] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The version that is written."""
        return f"{self.major}.{self.minor}"

    @property
    def stamp(self) -> int | str:
        """What is written into files: 1 for 1.0, else the text."""
        return self.version if self.minor else self.major

    def check(self, found: object, *, where: str, error: type[InfbrushError]) -> bool:
        """Whether a file holds more than this version knows of, which may be passed over.

        Args:
            found: version in the file: a whole number N for N.0, or the text 'MAJOR.MINOR'.
            where: the file, as the message calls it.
            error: class of what is raised.

        Raises:
            InfbrushError: of the class `error`, if this version cannot know what the file means.
        """
        version = _parsed(found)
        if version is None or version[0] > self.major or not self._reaches(version[0]):
            raise error(
                f"{where} has format {found!r}, this version of infbrush_wsi reads {self._range()} of {self.name}; "
                f"{self._advice(version)}"
            )
        return version[0] == self.major and version[1] > self.minor

    def migrated(self, record: Record, found: object, *, where: str, error: type[InfbrushError]) -> Record:
        """The record as this version writes it.

        Args:
            record: what the file holds.
            found: its version, see `check`.
            where: the file, as the message calls it.
            error: class of what is raised.

        Raises:
            InfbrushError: of the class `error`, for a version that cannot be read, or a record that a step cannot
                convert.
        """
        self.check(found, where=where, error=error)
        version = _parsed(found)
        assert version is not None  # noqa: S101 (`check` has refused it)
        for number in range(version[0], self.major):
            try:
                record = self.steps[number](dict(record))
            except (LookupError, TypeError, ValueError) as failure:
                raise error(
                    f"{where} has format {found!r} and cannot be made one of {self.version}: {failure!r}; it is damaged"
                ) from failure
        return record

    def _reaches(self, major: int) -> bool:
        return all(number in self.steps for number in range(major, self.major))

    def _range(self) -> str:
        oldest = self.major
        while oldest - 1 in self.steps:
            oldest -= 1
        return f"version {self.major}" if oldest == self.major else f"versions {oldest} to {self.major}"

    def _advice(self, version: tuple[int, int] | None) -> str:
        if version is None:
            return "it is damaged"
        if version[0] > self.major:
            return "install a newer version of infbrush_wsi, or make it again with this one"
        return "make it again, or install the version of infbrush_wsi that made it"


MODEL = Format("model records")
CHECKPOINT = Format("checkpoints")
PLAN = Format("plans")
LAYOUT = Format("stored layouts")
EMBEDDINGS = Format("stores of embeddings")
PROVENANCE = Format("provenance records")
WRITE = Format("unfinished writes")
FORMATS = (MODEL, CHECKPOINT, PLAN, LAYOUT, EMBEDDINGS, PROVENANCE, WRITE)


def _parsed(found: object) -> tuple[int, int] | None:
    """(major, minor), or None if it is no version."""
    if isinstance(found, int) and not isinstance(found, bool):
        return (found, 0) if found >= 0 else None
    match = _TEXT.fullmatch(found) if isinstance(found, str) else None
    return (int(match[1]), int(match[2] or 0)) if match else None
