"""Provenance as the text of an image description, for formats without a place of its own for it."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

from infbrush_wsi.writers.provenance import KEY


def to_description(record: Mapping[str, Any]) -> str:
    """One line of JSON, ASCII as TIFF wants it, that `from_description` finds again."""
    return json.dumps({KEY: dict(record)}, ensure_ascii=True, allow_nan=False)


def from_description(text: str) -> dict[str, Any] | None:
    """The record in an image description (also within OME-XML), or None."""
    for candidate in (text, html.unescape(text)):
        start = candidate.find(f'{{"{KEY}":')
        if start < 0:
            continue
        try:
            found, _ = json.JSONDecoder().raw_decode(candidate[start:])
        except ValueError:
            continue
        if isinstance(found[KEY], dict):
            return dict(found[KEY])
    return None
