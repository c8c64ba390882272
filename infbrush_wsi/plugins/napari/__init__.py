"""napari: stores of this package as lazy layers with physical sizes, and a generated slide to pan and zoom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infbrush_wsi._lazy import lazy_names

if TYPE_CHECKING:
    from infbrush_wsi.plugins.napari.layers import image_layers
    from infbrush_wsi.plugins.napari.reader import get_reader
    from infbrush_wsi.plugins.napari.sample import generated_slide
    from infbrush_wsi.plugins.napari.widget import generate_slide_widget

__all__ = ["generate_slide_widget", "generated_slide", "get_reader", "image_layers"]

_EXPORTS = {
    "generate_slide_widget": "infbrush_wsi.plugins.napari.widget",
    "generated_slide": "infbrush_wsi.plugins.napari.sample",
    "get_reader": "infbrush_wsi.plugins.napari.reader",
    "image_layers": "infbrush_wsi.plugins.napari.layers",
}

__getattr__, __dir__ = lazy_names(__name__, _EXPORTS)
