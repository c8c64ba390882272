"""Distances of generated images to tiles that training has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def between(held_out: Path, generated: Path, rules: Mapping[str, tuple[int, int]], *, stain: bool) -> dict[str, Any]:
    """Each distance with its interval.

    Args:
        held_out: folder of real tiles.
        generated: folder of images.
        rules: kind of crop → its side and how many an image.
        stain: whether the images are stained tissue.
    """
    from infbrush_wsi.metrics import CropRule, evaluate
    from infbrush_wsi.sources import collect

    chosen = tuple(CropRule(kind, size=side, per_image=count) for kind, (side, count) in rules.items())
    found = evaluate(collect([held_out]), collect([generated]), rules=chosen, stain=stain)
    return {r.name: {"value": r.value, "low": r.low, "high": r.high} for r in found.results}
