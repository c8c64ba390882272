"""What a local OME-Zarr store says of itself, cheaply: hosts ask about every path that they are given."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infbrush_wsi.sources.ome_zarr import PROVENANCE


def root_attributes(path: object) -> Mapping[str, Any]:
    """Attributes of the root group of a local store; empty for anything else. Never raises."""
    if not isinstance(path, str | os.PathLike):
        return {}
    for name in ("zarr.json", ".zattrs"):
        try:
            found = json.loads((Path(path) / name).read_text())
        except (OSError, ValueError):
            continue
        attributes = found.get("attributes") if name == "zarr.json" and isinstance(found, Mapping) else found
        return attributes if isinstance(attributes, Mapping) else {}
    return {}


def is_ours(path: object) -> bool:
    """Whether a path is an OME-Zarr store that this package has written."""
    return isinstance(root_attributes(path).get(PROVENANCE), Mapping)


def level_paths(attributes: Mapping[str, Any]) -> list[str]:
    """Paths of the levels in a store by its root attributes; empty if it has no image."""
    try:
        datasets = attributes.get("ome", attributes)["multiscales"][0]["datasets"]
        return [str(dataset["path"]) for dataset in datasets]
    except (KeyError, IndexError, TypeError, AttributeError):
        return []
