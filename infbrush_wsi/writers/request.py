"""What an unfinished write was begun for, and in what another request differs from it."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infbrush_wsi.errors import OutputError
from infbrush_wsi.formats import WRITE
from infbrush_wsi.writers.journal import journal_files

NAME = "record.json"
SHOWN = 5
"""Differences that a message names."""
LONGEST = 60


@dataclass(frozen=True)
class Begun:
    """The record of a write that has begun, beside its journal.

    Attributes:
        settings: plain JSON; all that determines the store, but for the pixels.
        fingerprint: stands for what determines the pixels.
        provenance: the record inside the store, with the time of the first start.
        token: part of the names of the folders of this write.
    """

    settings: dict[str, Any]
    fingerprint: str
    provenance: dict[str, Any]
    token: str

    @classmethod
    def now(cls, settings: dict[str, Any], fingerprint: str, provenance: dict[str, Any]) -> Begun:
        """The record of a write that begins."""
        return cls(json.loads(json.dumps(settings)), fingerprint, provenance, uuid.uuid4().hex[:12])

    def save(self, folder: Path) -> None:
        """Write the record; it is there whole or not at all."""
        draft = folder / f"{NAME}.{self.token}"
        with draft.open("w", encoding="utf-8") as stream:
            json.dump({"schema": WRITE.stamp, **asdict(self)}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(folder / NAME)

    def differences(self, other: Begun) -> list[str]:
        """In what `other` asks for another store, one text each; the time of creation does not count."""
        here, there = self._flat(), other._flat()
        return [
            f"{key} was {_short(here.get(key))} and is {_short(there.get(key))}"
            for key in sorted(set(here) | set(there))
            if here.get(key) != there.get(key)
        ]

    def _flat(self) -> dict[str, Any]:
        kept = {f"provenance {key}": value for key, value in self.provenance.items() if key != "created"}
        return {"fingerprint": self.fingerprint, **self.settings, **kept}


def read_begun(folder: Path) -> Begun | None:
    """The record of the write that has begun in `folder`, or None if none has.

    Raises:
        OutputError: if there is a record and it cannot be used, or a journal without a record.
    """
    try:
        found = json.loads((folder / NAME).read_text(encoding="utf-8"))
        WRITE.check(found.pop("schema"), where="it", error=OutputError)
        begun = Begun(**found)
        # Its token names folders that are moved and removed.
        parts = (begun.settings, dict), (begun.fingerprint, str), (begun.provenance, dict), (begun.token, str)
        if not all(isinstance(part, kind) for part, kind in parts) or not begun.token.isalnum():
            raise ValueError("its parts are not what they should be")
        return begun
    except FileNotFoundError:
        if not journal_files(folder):
            return None
        problem = "it is not there"
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        problem = str(error)
    raise OutputError(
        f"the record '{folder / NAME}' of an unfinished write cannot be used: {problem}; overwrite to begin anew, "
        f"which discards the unfinished write, or choose another name"
    )


def explain(differences: list[str]) -> str:
    """The first few differences as one text."""
    more = len(differences) - SHOWN
    return "; ".join(differences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
