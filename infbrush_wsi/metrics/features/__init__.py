"""Feature networks by name: images in, one vector an image out."""

from infbrush_wsi.metrics.features.protocol import FeatureExtractor
from infbrush_wsi.metrics.features.registry import DEFAULT_FEATURES, feature_extractor, feature_names

__all__ = ["DEFAULT_FEATURES", "FeatureExtractor", "feature_extractor", "feature_names"]
