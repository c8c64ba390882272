"""How far generated images are from real ones: distances of features, image statistics, memorisation.

The names below are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infbrush_wsi._lazy import lazy_names

if TYPE_CHECKING:
    from infbrush_wsi.metrics.aligned import Nearest, aligned_planes, nearest_aligned
    from infbrush_wsi.metrics.bootstrap import Bootstrap, Samples
    from infbrush_wsi.metrics.colour import colour_histograms
    from infbrush_wsi.metrics.comparison import Evaluation, evaluate
    from infbrush_wsi.metrics.correlation import two_point_covariances
    from infbrush_wsi.metrics.crops import CropRule
    from infbrush_wsi.metrics.distances import feature_metrics
    from infbrush_wsi.metrics.features.protocol import FeatureExtractor
    from infbrush_wsi.metrics.features.registry import feature_extractor, feature_names
    from infbrush_wsi.metrics.frechet import SmallSampleWarning, frechet_distance, frechet_distances
    from infbrush_wsi.metrics.functions import riesz_mmd, sliced_wasserstein
    from infbrush_wsi.metrics.gaussian import GaussianStatistics
    from infbrush_wsi.metrics.image_statistics import ImageStatistics, image_metrics
    from infbrush_wsi.metrics.kernel import kernel_distance, kernel_distances
    from infbrush_wsi.metrics.manifold import manifolds, precision_recall
    from infbrush_wsi.metrics.memorisation import Memorisation, check_memorisation, judge_memorisation, nearest_features
    from infbrush_wsi.metrics.page import write_evaluation
    from infbrush_wsi.metrics.result import MetricResult
    from infbrush_wsi.metrics.sampling import Sampler, SampleTable, sample_features
    from infbrush_wsi.metrics.scales import scale_consistency
    from infbrush_wsi.metrics.seams import gradient_ratio, variance_ratio
    from infbrush_wsi.metrics.spectrum import power_spectra
    from infbrush_wsi.metrics.tile_borders import seam_score

__all__ = [
    "Bootstrap",
    "CropRule",
    "Evaluation",
    "FeatureExtractor",
    "GaussianStatistics",
    "ImageStatistics",
    "Memorisation",
    "MetricResult",
    "Nearest",
    "SampleTable",
    "Sampler",
    "Samples",
    "SmallSampleWarning",
    "aligned_planes",
    "check_memorisation",
    "colour_histograms",
    "evaluate",
    "feature_extractor",
    "feature_metrics",
    "feature_names",
    "frechet_distance",
    "frechet_distances",
    "gradient_ratio",
    "image_metrics",
    "judge_memorisation",
    "kernel_distance",
    "kernel_distances",
    "manifolds",
    "nearest_aligned",
    "nearest_features",
    "power_spectra",
    "precision_recall",
    "riesz_mmd",
    "sample_features",
    "scale_consistency",
    "seam_score",
    "sliced_wasserstein",
    "two_point_covariances",
    "variance_ratio",
    "write_evaluation",
]

_EXPORTS = {
    "Bootstrap": "infbrush_wsi.metrics.bootstrap",
    "CropRule": "infbrush_wsi.metrics.crops",
    "Evaluation": "infbrush_wsi.metrics.comparison",
    "FeatureExtractor": "infbrush_wsi.metrics.features.protocol",
    "GaussianStatistics": "infbrush_wsi.metrics.gaussian",
    "ImageStatistics": "infbrush_wsi.metrics.image_statistics",
    "Memorisation": "infbrush_wsi.metrics.memorisation",
    "MetricResult": "infbrush_wsi.metrics.result",
    "Nearest": "infbrush_wsi.metrics.aligned",
    "SampleTable": "infbrush_wsi.metrics.sampling",
    "Sampler": "infbrush_wsi.metrics.sampling",
    "Samples": "infbrush_wsi.metrics.bootstrap",
    "SmallSampleWarning": "infbrush_wsi.metrics.frechet",
    "aligned_planes": "infbrush_wsi.metrics.aligned",
    "check_memorisation": "infbrush_wsi.metrics.memorisation",
    "colour_histograms": "infbrush_wsi.metrics.colour",
    "evaluate": "infbrush_wsi.metrics.comparison",
    "feature_extractor": "infbrush_wsi.metrics.features.registry",
    "feature_metrics": "infbrush_wsi.metrics.distances",
    "feature_names": "infbrush_wsi.metrics.features.registry",
    "frechet_distance": "infbrush_wsi.metrics.frechet",
    "frechet_distances": "infbrush_wsi.metrics.frechet",
    "gradient_ratio": "infbrush_wsi.metrics.seams",
    "image_metrics": "infbrush_wsi.metrics.image_statistics",
    "judge_memorisation": "infbrush_wsi.metrics.memorisation",
    "kernel_distance": "infbrush_wsi.metrics.kernel",
    "kernel_distances": "infbrush_wsi.metrics.kernel",
    "manifolds": "infbrush_wsi.metrics.manifold",
    "nearest_aligned": "infbrush_wsi.metrics.aligned",
    "nearest_features": "infbrush_wsi.metrics.memorisation",
    "power_spectra": "infbrush_wsi.metrics.spectrum",
    "precision_recall": "infbrush_wsi.metrics.manifold",
    "riesz_mmd": "infbrush_wsi.metrics.functions",
    "sample_features": "infbrush_wsi.metrics.sampling",
    "scale_consistency": "infbrush_wsi.metrics.scales",
    "seam_score": "infbrush_wsi.metrics.tile_borders",
    "sliced_wasserstein": "infbrush_wsi.metrics.functions",
    "two_point_covariances": "infbrush_wsi.metrics.correlation",
    "variance_ratio": "infbrush_wsi.metrics.seams",
    "write_evaluation": "infbrush_wsi.metrics.page",
}

__getattr__, __dir__ = lazy_names(__name__, _EXPORTS)
