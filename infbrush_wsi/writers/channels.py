"""How viewers should show the channels: the `omero` block of OME-Zarr."""

from __future__ import annotations

from typing import Any

from infbrush_wsi.writers.image import ImageMeta
from infbrush_wsi.writers.layout import Version

COLOURS = {
    "red": "FF0000",
    "green": "00FF00",
    "blue": "0000FF",
    "nir": "FF00FF",
    "alpha": "FFFFFF",
    "intensity": "FFFFFF",
    "gray": "FFFFFF",
    "grey": "FFFFFF",
}
PALETTE = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF8000", "8000FF")
"""For channels without a colour of their own, in turn; additive and told apart when overlaid."""

VISIBLE = 3
"""Channels shown at first: more than three colours added up show nothing."""


def omero(meta: ImageMeta, version: Version) -> dict[str, Any]:
    """The rendering block: colours, full 8-bit range, the first three channels shown.

    A channel holds only the keys active, coefficient, color, family, inverted, label and window, and `rdefs` is always
    there: TIAToolbox refuses any other key and the lack of `rdefs`.
    """
    names = meta.channel_names
    unnamed = iter(PALETTE * len(names))
    block: dict[str, Any] = {
        "id": 1,
        "name": meta.name,
        "channels": [
            {
                "active": number < VISIBLE,
                "coefficient": 1.0,
                "color": COLOURS.get(name.lower()) or next(unnamed),
                "family": "linear",
                "inverted": False,
                "label": name,
                "window": {"min": 0, "max": 255, "start": 0, "end": 255},
            }
            for number, name in enumerate(names)
        ],
        "rdefs": {"defaultT": 0, "defaultZ": 0, "model": "greyscale" if len(names) == 1 else "color"},
    }
    if version == "0.4":
        block["version"] = version
    return block
