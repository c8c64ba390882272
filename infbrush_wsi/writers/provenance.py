"""The record inside every output of where its pixels come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from infbrush_wsi import __version__
from infbrush_wsi.domain import Lattice
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.formats import PROVENANCE
from infbrush_wsi.writers.image import ImageMeta

KEY = "infbrush_wsi"
"""Root attribute that holds the record, beside the OME block."""

RECORD_FILE = "provenance.json"
"""The record beside files that have no room for it; not the name of a model's, for which it would be taken."""

RESERVED = ("schema", "state", "package_version", "lattice")


def provenance_record(meta: ImageMeta, extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record with ``state="writing"``: what this package knows, and what the caller adds.

    Args:
        meta: the image; its level-0 lattice is recorded whole (six numbers of the transform, unit, CRS), because OME's
            scale and translation cannot carry a rotation, a descending axis or a CRS.
        extra: what made the pixels: model, seed, condition, steps, ... It may overrule `synthetic` and `created`.

    Raises:
        ConfigError: if `extra` uses a reserved key or holds something that JSON cannot.
    """
    extra = dict(extra or {})
    taken = sorted(set(RESERVED) & set(extra))
    if taken:
        raise ConfigError(f"provenance may not set {', '.join(taken)}: the writer does; use other keys")
    try:
        extra = json.loads(json.dumps(extra, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"provenance must be plain JSON (text, numbers, lists, mappings): {error}") from error
    return {
        "schema": PROVENANCE.stamp,
        "state": "writing",
        "synthetic": meta.synthetic,
        "package_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "lattice": _lattice_record(meta.lattice),
        **extra,
    }


def _lattice_record(lattice: Lattice) -> dict[str, Any]:
    return {
        "shape": list(lattice.shape.as_tuple()),
        "transform": list(lattice.transform[:6]),
        "unit": lattice.unit,
        "crs": lattice.crs,
    }
