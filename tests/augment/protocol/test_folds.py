"""Folds: whole patients, every image once, all classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.augment.protocol.folds import make_folds
from infbrush_wsi.errors import DatasetError


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 4), st.integers(4, 7), st.integers(2, 4), st.integers(0, 5))
def test_patients_stay_together_and_every_image_is_tested_once(classes, patients, count, seed):
    rng = np.random.default_rng([classes, patients, seed])
    labels, groups = [], []
    for label in range(classes):
        for patient in range(patients):
            images = int(rng.integers(1, 5))
            labels += [label] * images
            groups += [f"{label}-{patient}"] * images
    folds = make_folds(labels, groups, count, seed)
    assert len(folds) == count
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(labels)))
    for fold in folds:
        assert sorted([*fold.train, *fold.test]) == list(range(len(labels)))
        assert {groups[i] for i in fold.train}.isdisjoint(groups[i] for i in fold.test)
        assert {labels[i] for i in fold.train} == set(range(classes))


def test_too_few_patients_are_refused():
    with pytest.raises(DatasetError, match="class 1 has images of 1 patients"):
        make_folds([0, 0, 1, 1], ["a", "b", "c", "c"], 2)
    with pytest.raises(DatasetError, match="at least two folds"):
        make_folds([0, 1], ["a", "b"], 1)


def test_the_seed_shuffles_and_repeats():
    labels, groups = [0, 1] * 10, [str(i) for i in range(20)]
    first, again, other = (make_folds(labels, groups, 2, seed)[0].test.tolist() for seed in (0, 0, 1))
    assert first == again != other
