"""The files of the page, and what its script is told about the images."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from infbrush_wsi.view.image import OVERLAP, Shown

MIMETYPES = {
    "index.html": "text/html; charset=utf-8",
    "viewer.css": "text/css; charset=utf-8",
    "viewer.js": "text/javascript; charset=utf-8",
    "openseadragon.min.js": "text/javascript; charset=utf-8",
    "openseadragon.LICENSE.txt": "text/plain; charset=utf-8",
}
"""All that is served beside tiles: names in addresses are looked up here and never become a path."""


@cache
def static_file(name: str) -> bytes:
    """A file of the page.

    Raises:
        KeyError: if it is none of them.
    """
    if name not in MIMETYPES:
        raise KeyError(name)
    return files("infbrush_wsi.view").joinpath("static", name).read_bytes()


def described(key: str, image: Shown, kind: str) -> dict[str, Any]:
    """An image for the page's script, as plain values.

    Args:
        key: of the image in addresses.
        image: the image.
        kind: of its tiles.
    """
    lattice = image.lattice
    return {
        "key": key,
        "title": image.title,
        "width": lattice.shape.w,
        "height": lattice.shape.h,
        "tile": image.tile,
        "overlap": OVERLAP,
        "kind": kind,
        "levels": [
            {"width": level.shape.w, "height": level.shape.h, "downsample": level.downsample} for level in image.levels
        ],
        "unit": lattice.unit,
        "spacing": lattice.spacing.x,
        "synthetic": image.synthetic,
        "virtual": image.virtual,
        "facts": [[name, value] for name, value in image.facts.items()],
    }
