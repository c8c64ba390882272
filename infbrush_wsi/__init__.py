"""Diffusion models in function space for whole-slide images and aerial rasters.

Importing the package is cheap: the names below are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline
    from infbrush_wsi.sources import open_source

__version__ = "0.1.0"

__all__ = ["InfBrushPipeline", "__version__", "open_source"]

_EXPORTS = {
    "InfBrushPipeline": "infbrush_wsi.pipelines.infbrush",
    "open_source": "infbrush_wsi.sources",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
