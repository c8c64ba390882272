"""All distances of two sets of features, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from infbrush_wsi.metrics.bootstrap import Bootstrap, Samples, with_intervals
from infbrush_wsi.metrics.feature_array import as_pair
from infbrush_wsi.metrics.frechet import frechet_distances, small_sample_note
from infbrush_wsi.metrics.kernel import kernel_distances
from infbrush_wsi.metrics.manifold import manifolds
from infbrush_wsi.metrics.result import MetricResult


def feature_metrics(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    samples: Samples | None = None,
    bootstrap: Bootstrap | None = None,
    k: int = 5,
    prefix: str = "",
    settings: Mapping[str, Any] | None = None,
) -> list[MetricResult]:
    """Fréchet and kernel distance, precision, recall, density and coverage.

    Args:
        real: features (N, D).
        generated: features (M, D).
        samples: which rows belong to one image; None takes each for itself.
        bootstrap: how intervals are made; None for the default.
        k: neighbours of the manifolds; those four numbers are left out of sets that have not more than k images.
        prefix: of the names, for example 'crop' and an underscore.
        settings: features and rule, as they shall be told.

    Raises:
        DatasetError: if a set is unusable.
    """
    one, two = as_pair(real, generated)
    drawn = samples or Samples.single(len(one), len(two))
    how = bootstrap or Bootstrap()
    said = dict(settings or {})
    note = small_sample_note(len(one), len(two), one.shape[1])
    found = with_intervals(
        lambda a, b: {f"{prefix}frechet": frechet_distances(one, two, a, b)},
        drawn,
        how,
        settings=said,
        centre=True,
        least=0.0,
        notes=() if note is None else (note,),
    )
    found += with_intervals(
        lambda a, b: {f"{prefix}kernel": kernel_distances(one, two, a, b)},
        drawn,
        how,
        settings={**said, "estimator": "unbiased, all pairs", "kernel": "(x · y / D + 1)^3"},
    )
    if min(len(one), len(two)) > k:
        lie = manifolds(one, two, k=k)
        found += with_intervals(
            lambda a, b: {f"{prefix}{name}": values for name, values in lie.means(a, b).items()},
            drawn,
            how,
            settings={**said, "k": k},
        )
    return found
