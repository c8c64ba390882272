"""A local web page on which images and virtual slides are panned and zoomed.

``show(things)`` serves it from this process: sources, canvases, or both. Tiles are read, and those of canvases
computed, when the browser asks for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infbrush_wsi._lazy import lazy_names

if TYPE_CHECKING:
    from infbrush_wsi.view.image import Shown, shown
    from infbrush_wsi.view.server import ViewServer, show

__all__ = ["Shown", "ViewServer", "show", "shown"]

_EXPORTS = {
    "Shown": "infbrush_wsi.view.image",
    "ViewServer": "infbrush_wsi.view.server",
    "show": "infbrush_wsi.view.server",
    "shown": "infbrush_wsi.view.image",
}

__getattr__, __dir__ = lazy_names(__name__, _EXPORTS)
