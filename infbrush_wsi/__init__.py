"""Diffusion models in function space for whole-slide images and aerial rasters.

Importing the package is cheap: the names below are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infbrush_wsi._lazy import lazy_names

if TYPE_CHECKING:
    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline
    from infbrush_wsi.pipelines.infdiff import InfDiffPipeline
    from infbrush_wsi.sources import open_source

__version__ = "0.1.0"

__all__ = ["InfBrushPipeline", "InfDiffPipeline", "__version__", "open_source"]

_EXPORTS = {
    "InfBrushPipeline": "infbrush_wsi.pipelines.infbrush",
    "InfDiffPipeline": "infbrush_wsi.pipelines.infdiff",
    "open_source": "infbrush_wsi.sources",
}

__getattr__, __dir__ = lazy_names(__name__, _EXPORTS)
