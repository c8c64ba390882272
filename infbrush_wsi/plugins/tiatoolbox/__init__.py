"""TIAToolbox: canvases and files as its readers, its readers as sources.

TIAToolbox takes seconds to import, and is imported when one of these names is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infbrush_wsi._lazy import lazy_names

if TYPE_CHECKING:
    from infbrush_wsi.plugins.tiatoolbox.reader import PyramidWSIReader, wsi_reader
    from infbrush_wsi.plugins.tiatoolbox.registration import register, registered, unregister
    from infbrush_wsi.plugins.tiatoolbox.source import TiatoolboxSource

__all__ = ["PyramidWSIReader", "TiatoolboxSource", "register", "registered", "unregister", "wsi_reader"]

_EXPORTS = {
    "PyramidWSIReader": "infbrush_wsi.plugins.tiatoolbox.reader",
    "TiatoolboxSource": "infbrush_wsi.plugins.tiatoolbox.source",
    "register": "infbrush_wsi.plugins.tiatoolbox.registration",
    "registered": "infbrush_wsi.plugins.tiatoolbox.registration",
    "unregister": "infbrush_wsi.plugins.tiatoolbox.registration",
    "wsi_reader": "infbrush_wsi.plugins.tiatoolbox.reader",
}

__getattr__, __dir__ = lazy_names(__name__, _EXPORTS)
