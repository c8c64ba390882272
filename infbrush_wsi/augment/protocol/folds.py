"""Folds of a labelled set in which no patient or slide is on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi._optional import require
from infbrush_wsi.errors import DatasetError


@dataclass(frozen=True)
class Fold:
    """Numbers of the images on each side, ascending."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def make_folds(
    labels: Sequence[int], groups: Sequence[str], count: int, seed: int = 0, names: Sequence[str] = ()
) -> list[Fold]:
    """Stratified folds of whole groups; every image is tested once.

    Args:
        labels: class of each image.
        groups: patient or slide of each image.
        count: of folds, at least two.
        seed: another one shuffles the groups otherwise.
        names: of the classes, for messages.

    Raises:
        DatasetError: if a class has fewer groups than there are folds, so that it would be missing on a side.
    """
    selection = require("sklearn.model_selection", extra="augment", purpose="make folds by patient")
    classes, owners = np.asarray(labels), np.asarray(groups)
    if count < 2:
        raise DatasetError(f"cross-validation needs at least two folds, not {count}")
    for label in np.unique(classes):
        known = len(np.unique(owners[classes == label]))
        if known < count:
            shown = names[label] if names else label
            raise DatasetError(
                f"class {shown} has images of {known} patients or slides, too few for {count} folds; ask for fewer"
            )
    splitter = selection.StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    folds = [Fold(np.sort(train), np.sort(test)) for train, test in splitter.split(classes, classes, owners)]
    for number, fold in enumerate(folds):
        missing = sorted(set(classes) - set(classes[fold.train]))
        if missing or not len(fold.test):
            raise DatasetError(
                f"fold {number} has no training image of class {missing}; ask for fewer folds or another seed"
            )
    return folds
