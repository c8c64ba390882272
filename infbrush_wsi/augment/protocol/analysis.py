"""What the runs of both arms say: accuracy, gain, a paired test and an interval.

Accuracies of folds and seeds are not independent, because training sets overlap and seeds share test images. The test
is Student's t with the variance corrected for that (Nadeau and Bengio 2003, equation for the corrected resampled
t-test); the interval resamples patients, the units that are independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.errors import DatasetError

RESAMPLES = 2000


@dataclass(frozen=True)
class Run:
    """Both arms on one fold with one seed.

    Attributes:
        fold: number.
        seed: of weights and batches.
        test: numbers of the test images.
        train_images: real images that were trained on.
        baseline: class that the classifier of real images gives each test image.
        augmented: the same of real and synthetic images.
    """

    fold: int
    seed: int
    test: NDArray[np.int64]
    train_images: int
    baseline: NDArray[np.int64]
    augmented: NDArray[np.int64]


@dataclass(frozen=True)
class Gain:
    """The comparison of both arms.

    Attributes:
        baseline: accuracy of each run, (runs,).
        augmented: the same.
        gain: mean difference.
        interval: (low, high) of the gain, 95 %, by resampling patients.
        p_value: two-sided, of the corrected resampled t-test; None for fewer than two folds times seeds or equal runs.
        balanced: mean gain in balanced accuracy (mean of the recalls of all classes).
    """

    baseline: NDArray[np.float64]
    augmented: NDArray[np.float64]
    gain: float
    interval: tuple[float, float]
    p_value: float | None
    balanced: float


def analyse(runs: Sequence[Run], labels: ArrayLike, groups: Sequence[str], seed: int = 0) -> Gain:
    """Compare both arms over all runs.

    Args:
        runs: of all folds and seeds.
        labels: true class of every image of the set.
        groups: patient or slide of every image.
        seed: of the resampling.

    Raises:
        DatasetError: without runs.
    """
    if not runs:
        raise DatasetError("there are no runs to compare")
    truth = np.asarray(labels)
    baseline = np.array([np.mean(run.baseline == truth[run.test]) for run in runs])
    augmented = np.array([np.mean(run.augmented == truth[run.test]) for run in runs])
    balanced = [_balanced(run.augmented, truth[run.test]) - _balanced(run.baseline, truth[run.test]) for run in runs]
    return Gain(
        baseline,
        augmented,
        float((augmented - baseline).mean()),
        _interval(runs, truth, np.asarray(groups), seed),
        corrected_t_test(augmented - baseline, runs),
        float(np.mean(balanced)),
    )


def corrected_t_test(differences: ArrayLike, runs: Sequence[Run]) -> float | None:
    """Two-sided p-value of a mean difference over repeated cross-validation.

    The variance of the mean is ``(1/n + n_test/n_train) s²`` instead of ``s²/n``.
    """
    from scipy.stats import t

    values = np.asarray(differences, np.float64)
    spread = float(values.var(ddof=1)) if len(values) > 1 else 0.0
    if spread == 0.0:
        return None
    overlap = float(np.mean([len(run.test) / run.train_images for run in runs]))
    statistic = values.mean() / np.sqrt((1.0 / len(values) + overlap) * spread)
    return float(2.0 * t.sf(abs(statistic), len(values) - 1))


def _balanced(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    return float(np.mean([np.mean(found[truth == label] == label) for label in np.unique(truth)]))


def _interval(
    runs: Sequence[Run], truth: NDArray[np.int64], groups: NDArray[np.str_], seed: int
) -> tuple[float, float]:
    """Of the mean gain, when patients are drawn anew with all their images and runs."""
    names, owner = np.unique(groups, return_inverse=True)
    gained, tested = np.zeros(len(names)), np.zeros(len(names))
    for run in runs:
        right = (run.augmented == truth[run.test]).astype(float) - (run.baseline == truth[run.test])
        np.add.at(gained, owner[run.test], right)
        np.add.at(tested, owner[run.test], 1.0)
    present = np.flatnonzero(tested)
    drawn = np.random.default_rng(seed).choice(present, (RESAMPLES, len(present)))
    gains = gained[drawn].sum(axis=1) / tested[drawn].sum(axis=1)
    low, high = np.quantile(gains, [0.025, 0.975])
    return float(low), float(high)
