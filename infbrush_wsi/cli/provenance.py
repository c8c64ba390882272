"""What an exported image says of its pixels: what the source says, or that it is not ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infbrush_wsi.sources.base import Source
from infbrush_wsi.writers.description import from_description
from infbrush_wsi.writers.provenance import RECORD_FILE, RESERVED

DESCRIPTION_TAG = 270


def provenance_of(source: Source) -> dict[str, Any]:
    """The record to write into a copy of `source`.

    A record of this package is handed on. Any other image is said to be not synthetic *by this package*, with the
    fingerprint of its content instead of its name, which may be a patient's.
    """
    record = record_of(source)
    if record is not None:
        return {key: value for key, value in record.items() if key not in RESERVED}
    return {"synthetic": False, "copied_from": {"fingerprint": source.fingerprint, "reader": source.name}}


def record_of(source: Source) -> dict[str, Any] | None:
    """What this package has written about how the pixels were made, or None."""
    return source.metadata.get("provenance") or _described(source.path)


def title_of(source: Source) -> str:
    """A title for viewers: the source's own, or what it is."""
    return str(source.metadata.get("name") or f"{source.name} {source.fingerprint[:8]}")


def _described(path: str) -> dict[str, Any] | None:
    """The record in the description of a TIFF, PNG or JPEG that this package wrote, or beside a DICOM file."""
    from PIL import Image

    if not Path(path).is_file():
        return None
    beside = Path(path).with_name(RECORD_FILE)
    if path.endswith(".dcm") and beside.is_file():
        return from_description(beside.read_text())
    try:
        with Image.open(path) as image:
            tags = getattr(image, "tag_v2", None)
            texts = [tags.get(DESCRIPTION_TAG)] if tags is not None else [image.getexif().get(DESCRIPTION_TAG)]
            texts.append(image.info.get("Description"))
    except Exception:
        # Pillow knows few slide formats, and says so in many ways; then there is no record of ours.
        return None
    return next((found for text in texts if text and (found := from_description(str(text)))), None)
