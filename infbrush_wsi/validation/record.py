"""The record beside files whose format has no room for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infbrush_wsi.validation.finding import Finding
from infbrush_wsi.validation.provenance import CHECK
from infbrush_wsi.writers.description import from_description
from infbrush_wsi.writers.provenance import RECORD_FILE


def read_record(folder: Path) -> tuple[dict[str, Any] | None, list[Finding]]:
    """What ``provenance.json`` says, None without one, and what is wrong with the file."""
    file = folder / RECORD_FILE
    if not file.is_file():
        return None, []
    try:
        record = from_description(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        return None, [Finding(CHECK, "error", f"{RECORD_FILE} cannot be read: {error}")]
    if record is None:
        return None, [Finding(CHECK, "error", f"{RECORD_FILE} holds no record of this package: damaged or replaced?")]
    return record, []
