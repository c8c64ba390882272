"""Whether the pixels of an image still have the mark that its record speaks of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import ConfigError, MissingExtraError
from infbrush_wsi.sources.registry import open_source
from infbrush_wsi.validation.finding import Finding
from infbrush_wsi.writers.watermark import FOUND, METHOD, Watermark

CHECK = "watermark"


def check_watermark(path: str, record: Any) -> Iterator[Finding]:
    """Look for the mark in some blocks of level 0; nothing is said of an image whose record names none."""
    said = record.get("watermark") if isinstance(record, Mapping) else None
    if said is None:
        return
    try:
        mark = Watermark(said["text"])
        method = said["method"]
    except (ConfigError, KeyError, TypeError) as error:
        yield Finding(CHECK, "error", f"the record of the watermark is damaged: {error}")
        return
    if method != METHOD:
        yield Finding(CHECK, "warning", f"not looked for: it was made by {method!r}, this version knows {METHOD}")
        return
    try:
        share = _share(mark, path)
    except MissingExtraError as error:
        yield Finding(CHECK, "warning", f"not looked for: {error}")
        return
    if math.isnan(share):
        yield Finding(CHECK, "warning", "the image is too small to have one")
    elif share < FOUND:
        text = f"{mark.text!r} is not in the pixels ({share:.0%} of its bits): they are not those that were written"
        yield Finding(CHECK, "error", text)
    else:
        yield Finding(CHECK, "ok", f"{mark.text!r} is in the pixels ({share:.0%} of its bits)")


def _share(mark: Watermark, path: str) -> float:
    with open_source(path) as source:

        def read(box: Box) -> Any:
            return source.read_region((box.x0, box.y0), 0, (box.w, box.h))

        return mark.agreement(read, Shape(*source.level_shapes[0]))
