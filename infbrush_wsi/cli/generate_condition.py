"""What `infbrush generate` is to show: a class, an embedding, a layout, or an image to imitate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from infbrush_wsi.cli.likeness import AS_IT_IS, Likeness, embedding_from_file
from infbrush_wsi.cli.painting import Painting
from infbrush_wsi.cli.reference import Reference
from infbrush_wsi.errors import ConfigError

KINDS = {
    "condition": "one class everywhere",
    "embedding": "one embedding everywhere",
    "reference": "the latent of an image",
    "paint": "a layout",
    "like": "an image to imitate",
}
PARTS = {
    "paint": ("classes", "background", "ignore", "paint_mpp", "paint_unit", "paint_origin", "paint_cell"),
    "reference": ("reference_region",),
    "like": ("like_image", "like_at", "like_order"),
}
Conditioning = Callable[[Any], Any]
"""A pipeline → its condition."""


def conditioning(given: Mapping[str, Any], corner: tuple[float, float] | None) -> Conditioning:
    """What was asked for; files are read when the pipeline is there.

    Args:
        given: values of all options.
        corner: of the canvas in its CRS, if it has a place.

    Raises:
        ConfigError: for options that do not go together.
    """
    chosen = [name for name in KINDS if given[name] is not None]
    if len(chosen) > 1:
        raise ConfigError(
            "give " + " or ".join(f"{_option(name)} ({KINDS[name]})" for name in chosen) + ", not both"
            f"{'; see --background' if chosen == ['condition', 'paint'] else ''}"
        )
    kind = chosen[0] if chosen else None
    _refuse_unused(given, kind)
    if kind in ("paint", "like") and given["engine"] == "joint":
        raise ConfigError("a layout needs --engine lazy")
    if kind == "paint":
        how = {name.removeprefix("paint_"): given[name] for name in PARTS["paint"]}
        return Painting(given["paint"], corner=corner, **how).layout
    if kind == "like":
        how = {name.removeprefix("like_"): given[name] for name in PARTS["like"]}
        return Likeness(given["like"], seed=given["seed"], **how).layout
    if kind == "reference":
        return Reference(given["reference"], given["reference_region"]).latent
    if kind == "embedding":
        embedding = embedding_from_file(given["embedding"])
        return lambda _: embedding
    return lambda _: given["condition"]


def _refuse_unused(given: Mapping[str, Any], kind: str | None) -> None:
    for owner, parts in PARTS.items():
        unused = [_option(name) for name in parts if given[name] not in (None, AS_IT_IS)]
        if unused and owner != kind:
            raise ConfigError(f"{', '.join(unused)} say how {_option(owner)} FILE is read; give that too")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
