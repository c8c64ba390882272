"""How far generated images are from real ones: distances of features, image statistics, memorisation.

The names below are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infbrush_wsi.metrics.bootstrap import Bootstrap, Samples
    from infbrush_wsi.metrics.feature_metrics import feature_metrics
    from infbrush_wsi.metrics.features.protocol import FeatureExtractor
    from infbrush_wsi.metrics.features.registry import feature_extractor, feature_names
    from infbrush_wsi.metrics.frechet import SmallSampleWarning, frechet_distance, frechet_distances
    from infbrush_wsi.metrics.gaussian import GaussianStatistics
    from infbrush_wsi.metrics.kernel import kernel_distance, kernel_distances
    from infbrush_wsi.metrics.manifold import manifolds, precision_recall
    from infbrush_wsi.metrics.result import MetricResult

__all__ = [
    "Bootstrap",
    "FeatureExtractor",
    "GaussianStatistics",
    "MetricResult",
    "Samples",
    "SmallSampleWarning",
    "feature_extractor",
    "feature_metrics",
    "feature_names",
    "frechet_distance",
    "frechet_distances",
    "kernel_distance",
    "kernel_distances",
    "manifolds",
    "precision_recall",
]

_EXPORTS = {
    "Bootstrap": "infbrush_wsi.metrics.bootstrap",
    "FeatureExtractor": "infbrush_wsi.metrics.features.protocol",
    "GaussianStatistics": "infbrush_wsi.metrics.gaussian",
    "MetricResult": "infbrush_wsi.metrics.result",
    "Samples": "infbrush_wsi.metrics.bootstrap",
    "SmallSampleWarning": "infbrush_wsi.metrics.frechet",
    "feature_extractor": "infbrush_wsi.metrics.features.registry",
    "feature_metrics": "infbrush_wsi.metrics.feature_metrics",
    "feature_names": "infbrush_wsi.metrics.features.registry",
    "frechet_distance": "infbrush_wsi.metrics.frechet",
    "frechet_distances": "infbrush_wsi.metrics.frechet",
    "kernel_distance": "infbrush_wsi.metrics.kernel",
    "kernel_distances": "infbrush_wsi.metrics.kernel",
    "manifolds": "infbrush_wsi.metrics.manifold",
    "precision_recall": "infbrush_wsi.metrics.manifold",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
