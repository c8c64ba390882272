"""Are generated images copies of training images? Judged by how near real images that were held out come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.errors import ConfigError, DatasetError
from infbrush_wsi.metrics.aligned import Nearest, Planes, aligned_planes, nearest_aligned
from infbrush_wsi.metrics.bootstrap import Bootstrap
from infbrush_wsi.metrics.crops import CropRule
from infbrush_wsi.metrics.feature_array import Features, as_pair
from infbrush_wsi.metrics.manifold import BLOCK, squared_distances
from infbrush_wsi.metrics.result import MetricResult
from infbrush_wsi.metrics.sampling import Images, Sampler

LEAST_HELD_OUT = 20
COPY = 0.5
"""A generated image is called a copy if it is nearer than this share of the nearest held-out image's distance."""
SIGNIFICANCE = 0.01


@dataclass(frozen=True)
class Memorisation:
    """What the check found.

    Attributes:
        share: share of generated images nearer to training data than `threshold`, with an interval; about the
            quantile (1 % by default) if nothing is memorised.
        threshold: low quantile of the held-out images' distances.
        suspicious: numbers of the generated samples below it, nearest first.
        copies: those of them that are nearer than half of the nearest held-out distance.
        nearest: number of the nearest training sample of each generated one, (N,).
        distance: (N,).
        p_value: of Fisher's exact test that generated images are below the threshold more often than held-out ones.
        images: (N,), number of the image that each generated sample was taken from.
        training_images: (N,), number of the image that the nearest training sample was taken from.
    """

    share: MetricResult
    threshold: float
    suspicious: tuple[int, ...]
    copies: tuple[int, ...]
    nearest: NDArray[np.int64]
    distance: NDArray[np.float64]
    p_value: float
    images: NDArray[np.int64]
    training_images: NDArray[np.int64]

    @property
    def passed(self) -> bool:
        """No copy, and no more suspicious images than among real ones."""
        return not self.copies and self.p_value >= SIGNIFICANCE


def check_memorisation(
    generated: Images,
    training: Images,
    held_out: Images,
    *,
    rule: CropRule | None = None,
    quantile: float = 0.01,
    bootstrap: Bootstrap | None = None,
    bands: Sequence[int] | None = None,
    device: str = "cpu",
) -> Memorisation:
    """Look for training images in generated ones, also if they are shifted, flipped, turned or recoloured.

    Args:
        generated: images to judge.
        training: images that the model was trained on.
        held_out: real images of the same kind from other slides or patients.
        rule: which samples are taken of all three; None for whole images. Of images that are larger than what the
            model sees at once, take ``CropRule("grid", window, spacing=...)``.
        quantile: of the held-out distances that is the threshold.
        bootstrap: of the generated images; None for the default.
        bands: 1-based bands of images with more than three channels.
        device: torch device.

    Raises:
        DatasetError: if a set gives no sample, or fewer than 20 are held out.
        ConfigError: if the quantile is not between 0 and 1.
    """
    how = rule or CropRule("whole", 128)
    (made, images), (known, training_images), (other, _) = (
        sample_planes(given, how, bands) for given in (generated, training, held_out)
    )
    if len(other) < LEAST_HELD_OUT:
        raise DatasetError(f"{len(other)} held-out samples give no threshold: at least {LEAST_HELD_OUT} are needed")
    judged = judge_memorisation(
        nearest_aligned(made, known, device=device),
        nearest_aligned(other, known, device=device).distance,
        quantile=quantile,
        bootstrap=bootstrap,
        settings={"rule": how.describe(), "space": "aligned planes of 32 x 32", "training": len(known)},
    )
    return replace(judged, images=images, training_images=training_images[judged.nearest])


def judge_memorisation(
    found: Nearest,
    held_out: ArrayLike,
    *,
    quantile: float = 0.01,
    bootstrap: Bootstrap | None = None,
    settings: dict[str, Any] | None = None,
) -> Memorisation:
    """Compare distances of generated and of held-out images to the nearest training image.

    Args:
        found: of the generated images, from `nearest_aligned` or `nearest_features`.
        held_out: (M,), distances of real images in the same space.
        quantile: of those, which is the threshold.
        bootstrap: of the generated images; None for the default.
        settings: what the distances depend on.

    Raises:
        DatasetError: if fewer than 20 are held out.
        ConfigError: if the quantile is not between 0 and 1.
    """
    from scipy.stats import fisher_exact

    real = np.asarray(held_out, dtype=np.float64)
    if not 0 < quantile < 1:
        raise ConfigError(f"the quantile must lie between 0 and 1, not {quantile}")
    if real.ndim != 1 or len(real) < LEAST_HELD_OUT:
        raise DatasetError(f"{real.shape} held-out distances give no threshold: at least {LEAST_HELD_OUT} are needed")
    # The value of an image itself, not one between two, so that held-out images are below it as often as it says.
    threshold = float(np.quantile(real, quantile, method="higher"))
    below, real_below = found.distance < threshold, int((real < threshold).sum())
    table = [[int(below.sum()), int((~below).sum())], [real_below, len(real) - real_below]]
    order = [int(index) for index in np.argsort(found.distance, kind="stable") if below[index]]
    copies = tuple(index for index in order if found.distance[index] < COPY * real.min())
    return Memorisation(
        _share(below, len(real), threshold, bootstrap or Bootstrap(), {"quantile": quantile, **(settings or {})}),
        threshold,
        tuple(order),
        copies,
        found.index,
        found.distance,
        float(fisher_exact(table, alternative="greater").pvalue),
        np.arange(len(found.distance)),
        found.index,
    )


def nearest_features(generated: ArrayLike, training: ArrayLike) -> Nearest:
    """The nearest training image in the space of a feature network, in units of the training set's deviations.

    Networks that were trained see copies in other colours and orientations as far as they were taught to; the aligned
    planes of `check_memorisation` do so by construction.

    Args:
        generated: features (N, D).
        training: features (M, D).

    Raises:
        DatasetError: if a set is unusable.
    """
    made, known = as_pair(generated, training)
    spread = known.std(axis=0)
    spread[spread == 0] = 1.0
    return _nearest_rows(made / spread, known / spread)


def _nearest_rows(made: Features, known: Features) -> Nearest:
    distances, numbers = [], []
    for start in range(0, len(made), BLOCK):
        squared = squared_distances(made[start : start + BLOCK], known)
        at = squared.argmin(axis=1)
        numbers.append(at)
        distances.append(np.sqrt(squared[np.arange(len(at)), at]))
    return Nearest(np.concatenate(distances), np.concatenate(numbers).astype(np.int64))


def sample_planes(
    images: Images, rule: CropRule, bands: Sequence[int] | None = None
) -> tuple[Planes, NDArray[np.int64]]:
    """`aligned_planes` of all samples of a set, and the number of the image of each.

    Raises:
        DatasetError: if the set gives no sample.
    """
    found = [(aligned_planes(batch.pixels), batch.image) for batch in Sampler(images, rule, bands=bands)]
    return np.concatenate([planes for planes, _ in found]), np.concatenate([numbers for _, numbers in found])


def _share(
    below: NDArray[np.bool_], held_out: int, threshold: float, how: Bootstrap, settings: dict[str, Any]
) -> MetricResult:
    drawn = how.weights(np.arange(len(below)), 1)
    values = drawn @ below / drawn.sum(axis=1)
    said = {**settings, "threshold": threshold, "resamples": how.resamples, "level": how.level}
    return MetricResult("memorised", float(values[0]), *how.interval(values), held_out, len(below), said)
