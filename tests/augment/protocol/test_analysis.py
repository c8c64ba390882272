"""The comparison of both arms: known gains, the corrected test, intervals that cover."""

import numpy as np
import pytest
from scipy import stats

from infbrush_wsi.augment.protocol.analysis import Run, analyse, corrected_t_test
from infbrush_wsi.errors import DatasetError

IMAGES, CLASSES = 60, 3
TRUTH = np.arange(IMAGES) % CLASSES
GROUPS = [f"p{i // 3}" for i in range(IMAGES)]


def run(fold, seed, right_before, right_after, rng):
    """A run that gets so many of its test images right in each arm."""
    test = np.arange(IMAGES)[fold::3]

    def answers(right):
        chosen = rng.permutation(len(test))[:right]
        found = (TRUTH[test] + 1) % CLASSES
        found[chosen] = TRUTH[test][chosen]
        return found

    return Run(fold, seed, test, IMAGES - len(test), answers(right_before), answers(right_after))


def test_accuracies_and_gain_are_counted():
    rng = np.random.default_rng(0)
    gain = analyse([run(f, s, 10, 13, rng) for f in range(3) for s in range(2)], TRUTH, GROUPS)
    np.testing.assert_allclose(gain.baseline, 0.5)
    np.testing.assert_allclose(gain.augmented, 0.65)
    assert gain.gain == pytest.approx(0.15)
    assert gain.p_value is None  # all runs are alike: no variance to test with
    assert gain.interval[0] < 0.15 < gain.interval[1]


def test_equal_arms_gain_nothing():
    rng = np.random.default_rng(0)
    runs = [run(f, s, 12, 12, rng) for f in range(3) for s in range(2)]
    same = [Run(r.fold, r.seed, r.test, r.train_images, r.baseline, r.baseline) for r in runs]
    gain = analyse(same, TRUTH, GROUPS)
    assert gain.gain == 0 == gain.balanced
    assert gain.interval == (0.0, 0.0)
    with pytest.raises(DatasetError, match="no runs"):
        analyse([], TRUTH, GROUPS)


def test_balanced_accuracy_weighs_classes_alike():
    test = np.arange(10)
    truth = np.array([0] * 8 + [1] * 2)
    before, after = np.zeros(10, int), np.array([1] * 2 + [0] * 6 + [1] * 2)
    gain = analyse([Run(0, 0, test, 40, before, after)], truth, [str(i) for i in range(10)])
    assert gain.gain == pytest.approx(0.0)
    assert gain.balanced == pytest.approx((6 / 8 + 1) / 2 - 0.5)


def test_without_overlap_the_test_is_the_paired_t_test():
    values = np.random.default_rng(1).normal(0.02, 0.03, 12)
    empty = np.zeros(0, np.int64)
    independent = [Run(0, s, empty, 100, empty, empty) for s in range(12)]
    assert corrected_t_test(values, independent) == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)
    overlapping = [Run(0, s, np.arange(25), 100, empty, empty) for s in range(12)]
    assert corrected_t_test(values, overlapping) > corrected_t_test(values, independent)


def test_the_interval_covers_the_true_gain_of_new_patients():
    """Patients differ in how much they gain; the interval is about new patients, not about these."""
    rng = np.random.default_rng(2)
    covered, trials = 0, 150
    for trial in range(trials):
        groups = [f"p{i // 4}" for i in range(160)]
        gained = np.repeat(rng.normal(0.05, 0.15, 40), 4)
        truth = np.zeros(160, int)
        runs = []
        for seed in range(3):
            before = (rng.random(160) > 0.6).astype(int)
            after = (rng.random(160) > np.clip(0.6 + gained, 0, 1)).astype(int)
            runs.append(Run(0, seed, np.arange(160), 640, before, after))
        low, high = analyse(runs, truth, groups, seed=trial).interval
        covered += low <= 0.05 <= high
    assert 0.88 <= covered / trials <= 0.99
