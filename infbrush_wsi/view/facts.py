"""What the page says of an image beside its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infbrush_wsi.domain import Lattice

HASH_DIGITS = 12


def image_facts(lattice: Lattice, level_count: int, channel_names: tuple[str, ...]) -> dict[str, str]:
    """Size, pixel size, place and channels, as they are shown."""
    facts = {"size": f"{lattice.shape.w:,} × {lattice.shape.h:,} px", "pixel size": _pixel_size(lattice)}
    if lattice.crs is not None:
        facts["coordinates"] = _crs_name(lattice.crs)
    return facts | {"levels": str(level_count), "channels": ", ".join(channel_names)}


def made_facts(record: Mapping[str, Any]) -> dict[str, str]:
    """How a synthetic image was made, from its provenance; what the record does not say is left out."""
    if not record.get("synthetic"):
        return {}
    facts = _condition(record)
    names = {"seed": "seed", "steps": "steps", "guidance_scale": "guidance", "scheduler": "sampler", "engine": "engine"}
    facts |= {shown: f"{record[name]}" for name, shown in names.items() if record.get(name) is not None}
    model = record.get("model")
    if isinstance(model, Mapping) and model.get("sha256"):
        facts["model"] = f"{record.get('system', '')} {str(model['sha256'])[:HASH_DIGITS]}".strip()
    if record.get("created"):
        facts["created"] = str(record["created"])
    return facts


def _condition(record: Mapping[str, Any]) -> dict[str, str]:
    name = record.get("condition", record.get("class"))
    if name is not None:
        return {"class": str(name)}
    if "condition" not in record:
        return {}
    return {"class": "painted" if record.get("layout") else "none"}


def _pixel_size(lattice: Lattice) -> str:
    if lattice.unit == "pixel":
        return "unknown"
    unit = {"micrometer": "µm", "meter": "m", "degree": "°"}.get(lattice.unit, lattice.unit)
    x, y = lattice.spacing.x, lattice.spacing.y
    return f"{x:.6g} {unit}" if abs(x - y) < 1e-6 * x else f"{x:.6g} × {y:.6g} {unit}"


def _crs_name(crs: str) -> str:
    """The name inside a WKT text, which is too long to show; anything else as it is."""
    quoted = crs.split('"')
    return quoted[1] if len(quoted) > 1 else crs
