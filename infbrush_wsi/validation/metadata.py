"""Metadata against the specification, by ome-zarr-models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from infbrush_wsi._optional import require
from infbrush_wsi.validation.finding import Finding
from infbrush_wsi.validation.opened import ome_attributes

if TYPE_CHECKING:
    import zarr

CHECK = "metadata"
LABELS = "labels"
SHOWN = 3


def check_metadata(group: zarr.Group) -> Iterator[Finding]:
    """The image and its labels.

    Raises:
        MissingExtraError: without ome-zarr-models.
    """
    require("ome_zarr_models", extra="validate", purpose="check OME-Zarr metadata")
    version, _ = ome_attributes(group)
    models: Any = require(
        f"ome_zarr_models.v{version.replace('.', '')}", extra="validate", purpose="check OME-Zarr metadata"
    )
    problem = _problem(models.Image, group)
    said = f"OME-Zarr {version}, Zarr v{group.metadata.zarr_format}"
    yield Finding(CHECK, "error" if problem else "ok", problem or f"{said}, valid by ome-zarr-models")
    if LABELS in group:
        yield from _labels(models, group[LABELS])


def _labels(models: Any, labels: Any) -> Iterator[Finding]:
    problem = _problem(models.Labels, labels)
    names = list(ome_attributes(labels)[1].get(LABELS) or ())
    if problem:
        yield Finding(LABELS, "error", problem)
    for name in names:
        if name not in labels:
            yield Finding(LABELS, "error", f"{name} is listed and not there")
            continue
        problem = _problem(models.ImageLabel, labels[name])
        yield Finding(LABELS, "error" if problem else "ok", f"{name}: {problem or 'valid by ome-zarr-models'}")


def _problem(model: Any, group: Any) -> str:
    """What the model finds wrong, '' for nothing."""
    try:
        model.from_zarr(group)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()]
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        return "; ".join(wrong[:SHOWN]) + more
    except Exception as error:
        # The library raises what its parts raise: ValueError, KeyError, errors of zarr.
        return " ".join(str(error).split()) or type(error).__name__
    return ""
