"""A folder belongs to what its record says, and nothing else goes on in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infbrush_wsi.errors import OutputError
from infbrush_wsi.writers.files import staged_file


def claim(folder: Path, name: str, record: Mapping[str, Any], what: str) -> None:
    """Make a folder and note whose it is, or find the same note there.

    Args:
        folder: new, empty, or claimed by the same record.
        name: of the file with the record.
        record: plain JSON.
        what: differs if it holds another record, as it reads after "was begun".

    Raises:
        OutputError: if the folder holds other files or another record, or cannot be used.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"'{folder}' is a file, not a folder; choose another name")
    path, wanted = folder / name, json.loads(json.dumps(record, default=str))
    try:
        known = json.loads(path.read_text()) if path.exists() else None
        foreign = known is None and folder.is_dir() and any(folder.iterdir())
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"the folder '{folder}' cannot be used, or its {name} cannot be read: {error}") from error
    if foreign:
        raise OutputError(f"'{folder}' holds other files; choose another folder")
    if known not in (None, wanted):
        raise OutputError(f"'{folder}' was begun {what}; choose another folder")
    if known is None:
        with staged_file(path, overwrite=True) as draft:
            draft.write_text(json.dumps(wanted, indent=2, sort_keys=True))
