"""xarray: ``engine="infbrush"`` for files, and canvases as lazy datasets and trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infbrush_wsi._lazy import lazy_names

if TYPE_CHECKING:
    from infbrush_wsi.plugins.xarray.backend import InfbrushBackend
    from infbrush_wsi.plugins.xarray.canvases import canvas_dataset, canvas_datatree

__all__ = ["InfbrushBackend", "canvas_dataset", "canvas_datatree"]

_EXPORTS = {
    "InfbrushBackend": "infbrush_wsi.plugins.xarray.backend",
    "canvas_dataset": "infbrush_wsi.plugins.xarray.canvases",
    "canvas_datatree": "infbrush_wsi.plugins.xarray.canvases",
}

__getattr__, __dir__ = lazy_names(__name__, _EXPORTS)
