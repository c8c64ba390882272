"""What an image says of how its pixels were made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infbrush_wsi.domain import XY
from infbrush_wsi.errors import CorruptSourceError
from infbrush_wsi.formats import PROVENANCE
from infbrush_wsi.validation.finding import Finding
from infbrush_wsi.validation.opened import Pyramid

CHECK = "provenance"
NAMED = ("system", "seed", "condition", "steps", "package_version")


def check_provenance(image: Pyramid, record: Any) -> Iterator[Finding]:
    """The record, whether it is complete, and whether it agrees with what the format says of the pixels."""
    if isinstance(record, Mapping) and record.get("state") != "complete":
        yield Finding(CHECK, "error", f"the writing is unfinished: its state is {record.get('state')!r}")
    yield from check_record(record)
    if isinstance(record, Mapping) and isinstance(record.get("synthetic"), bool):
        problem = _disagreement(image, record.get("lattice"))
        if problem:
            yield Finding(CHECK, "error", problem)


def check_record(record: Any) -> Iterator[Finding]:
    """Whether there is a record of this package, and what it says."""
    if not isinstance(record, Mapping):
        yield Finding(CHECK, "warning", "no record of this package: nothing says whether the image is synthetic")
        return
    try:
        PROVENANCE.check(record.get("schema", 1), where="the record", error=CorruptSourceError)
    except CorruptSourceError as error:
        yield Finding(CHECK, "error", str(error))
        return
    synthetic = record.get("synthetic")
    if isinstance(synthetic, bool):
        yield _made(record, synthetic)
    else:
        yield Finding(CHECK, "error", f"synthetic must be true or false, not {synthetic!r}")


def _made(record: Mapping[str, Any], synthetic: bool) -> Finding:
    facts = [f"{name} {record[name]}" for name in NAMED if record.get(name) is not None]
    digest = record.get("weights_sha256")
    facts += [f"model {str(digest)[:12]}"] if digest else []
    if not synthetic:
        return Finding(CHECK, "ok", ", ".join(["not synthetic", *facts]))
    if "system" not in record and not digest:
        return Finding(CHECK, "warning", "synthetic, but neither system nor model is named")
    return Finding(CHECK, "ok", ", ".join(["synthetic", *facts]))


def _disagreement(image: Pyramid, lattice: Any) -> str:
    """Where the record's lattice is not that of the metadata, '' where it is."""
    try:
        shape, (a, b, _, d, e, _) = tuple(lattice["shape"]), lattice["transform"]
        unit, spacing = lattice["unit"], XY((a**2 + d**2) ** 0.5, (b**2 + e**2) ** 0.5)
    except (KeyError, TypeError, ValueError) as error:
        return f"the record's lattice cannot be understood: {error}"
    first = image.levels[0]
    if shape != first.shape.as_tuple():
        return f"the record speaks of {shape[1]} x {shape[0]} px, level 0 has {first.shape.w} x {first.shape.h}"
    if image.unit is not None and unit != image.unit:
        return f"the record is in {unit}, the axes in {image.unit}"
    if max(abs(spacing.x / first.scale.x - 1), abs(spacing.y / first.scale.y - 1)) > 1e-6:
        return (
            f"the record has pixels of {spacing.x:g} x {spacing.y:g}, "
            f"the metadata of {first.scale.x:g} x {first.scale.y:g}"
        )
    return ""
