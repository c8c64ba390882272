"""How far generated images are from real ones: distances of features, image statistics, memorisation.

The names below are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infbrush_wsi.metrics.features.protocol import FeatureExtractor
    from infbrush_wsi.metrics.features.registry import feature_extractor, feature_names

__all__ = ["FeatureExtractor", "feature_extractor", "feature_names"]

_EXPORTS = {
    "FeatureExtractor": "infbrush_wsi.metrics.features.protocol",
    "feature_extractor": "infbrush_wsi.metrics.features.registry",
    "feature_names": "infbrush_wsi.metrics.features.registry",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
