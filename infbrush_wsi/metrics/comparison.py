"""Real images against generated ones: every distance under every rule."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.metrics.bootstrap import Bootstrap, Samples
from infbrush_wsi.metrics.crops import CropRule
from infbrush_wsi.metrics.distances import feature_metrics
from infbrush_wsi.metrics.features.protocol import FeatureExtractor
from infbrush_wsi.metrics.features.registry import DEFAULT_FEATURES, feature_extractor
from infbrush_wsi.metrics.image_statistics import ImageStatistics, image_metrics
from infbrush_wsi.metrics.result import MetricResult
from infbrush_wsi.metrics.sampling import Images, SampleTable, image_count, sample_features

Statistics = tuple[ImageStatistics, ImageStatistics]
DEFAULT_RULES = (CropRule("crop"), CropRule("whole"))


@dataclass(frozen=True)
class Evaluation:
    """All results of a comparison, and what plots are made of.

    Attributes:
        results: in a fixed order.
        statistics: of real and generated crops, under the first rule that takes crops; None without one.
        skipped: path and reason of images that were left out, by set.
    """

    results: tuple[MetricResult, ...]
    statistics: Statistics | None = None
    skipped: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> MetricResult:
        """A result by name.

        Raises:
            KeyError: if there is none.
        """
        found = {result.name: result for result in self.results}
        return found[name]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "results": [result.to_json() for result in self.results],
            "skipped": {name: [list(entry) for entry in entries] for name, entries in self.skipped.items()},
        }


def evaluate(
    real: Images,
    generated: Images,
    *,
    features: str | FeatureExtractor = DEFAULT_FEATURES,
    rules: Sequence[CropRule] = DEFAULT_RULES,
    bootstrap: Bootstrap | None = None,
    stain: bool = True,
    bands: Sequence[int] | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Compare two sets of images.

    Args:
        real: a collection (see `infbrush_wsi.sources.collect`) or open sources.
        generated: the same of the generated images.
        features: name of a feature network (see `feature_extractor`) or the network itself.
        rules: which samples are taken; each gives distances with its name: 'crop_frechet', 'whole_kernel', with a
            pixel size 'crop_2_frechet'. Crops at several pixel sizes tell at which scale images differ. Spectra,
            correlations and colours are those of the first rule that takes crops.
        bootstrap: of images, not of crops, as those of one image are alike; None for the default. Of a set of one
            image, crops are drawn instead, and the results say so.
        stain: whether stains are compared, which makes sense for stained tissue only.
        bands: 1-based bands of images with more than three channels.
        device: torch device of the feature network.
        progress: called with (images read, images to be read), each once for every rule.

    Returns:
        The results.

    Raises:
        ConfigError: if there is no rule or a name is not known, or two rules have one name.
        DatasetError: if a set gives too few samples.
        CheckpointError: if the network's weights cannot be had.
    """
    names = [rule.name for rule in rules]
    if not rules or len(set(names)) < len(names):
        raise ConfigError(f"an evaluation needs rules that differ in kind or pixel size, not {names}")
    extractor = feature_extractor(features, device=device) if isinstance(features, str) else features
    found: list[MetricResult] = []
    statistics: Statistics | None = None
    skipped: dict[str, tuple[tuple[str, str], ...]] = {}
    each = _counter(len(rules) * (image_count(real) + image_count(generated)), progress)
    for rule in rules:
        pair = (ImageStatistics(stain), ImageStatistics(stain)) if statistics is None and rule.kind != "whole" else None
        statistics = statistics or pair
        tables = [
            sample_features(images, rule, extractor, statistics=pair[side] if pair else None, bands=bands, each=each)
            for side, images in enumerate((real, generated))
        ]
        found += _distances(extractor, rule, tables, pair, bootstrap or Bootstrap())
        for name, table in zip(("real", "generated"), tables, strict=True):
            skipped[f"{name} {rule.name}"] = tuple((entry.path, entry.reason) for entry in table.skipped)
    return Evaluation(tuple(found), statistics, skipped)


def _counter(total: int, progress: Callable[[int, int], None] | None) -> Callable[[], None]:
    done = itertools.count(1)
    return lambda: None if progress is None else progress(next(done), total)


def _distances(
    extractor: FeatureExtractor,
    rule: CropRule,
    tables: Sequence[SampleTable],
    statistics: Statistics | None,
    how: Bootstrap,
) -> list[MetricResult]:
    """Those of the features under one rule and, where they were taken, of image statistics."""
    samples = Samples(*(_groups(table) for table in tables))
    said, prefix = _settings(extractor, rule, tables), f"{rule.name}_"
    real, generated = (table.features for table in tables)
    found = feature_metrics(real, generated, samples=samples, bootstrap=how, prefix=prefix, settings=said)
    if statistics is None:
        return found
    crops = {key: said[key] for key in ("rule", "images", "resampled", "skipped")}
    return found + image_metrics(*statistics, samples=samples, bootstrap=how, settings=crops)


def _groups(table: SampleTable) -> NDArray[np.int64]:
    """What is drawn together: an image's samples, or each sample alone if there is one image only."""
    return table.image if table.images > 1 else np.arange(len(table.image), dtype=np.int64)


def _settings(extractor: FeatureExtractor, rule: CropRule, tables: Sequence[SampleTable]) -> dict[str, Any]:
    names = ("real", "generated")
    return {
        "features": extractor.name,
        "weights": extractor.weight_hash,
        "dimension": extractor.dimension,
        "input_size": extractor.input_size,
        "rule": rule.describe(),
        "images": {name: table.images for name, table in zip(names, tables, strict=True)},
        "resampled": {
            name: "images" if table.images > 1 else "crops of the one image"
            for name, table in zip(names, tables, strict=True)
        },
        "skipped": {name: len(table.skipped) for name, table in zip(names, tables, strict=True)},
    }
