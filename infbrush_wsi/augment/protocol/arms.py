"""One fold with one seed: the same classifier from the real images, and from real and synthetic ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from infbrush_wsi.augment.mixed import MixedDataset
from infbrush_wsi.augment.protocol.analysis import Run
from infbrush_wsi.augment.protocol.classifier import ClassifierConfig, fit_classifier
from infbrush_wsi.augment.protocol.folds import Fold
from infbrush_wsi.augment.protocol.labelled import ImageSet, LabelledImages


def run_arms(
    data: LabelledImages,
    fold: Fold,
    number: int,
    synthetic: ImageSet,
    ratio: float,
    config: ClassifierConfig,
    seed: int,
) -> Run:
    """Train both arms with the same weights at the start, the same steps, and test them on the same images.

    Args:
        data: the whole set.
        fold: which of it is trained on and tested.
        number: of the fold.
        synthetic: images of a generator that has seen the fold's training images only.
        ratio: synthetic images per real one.
        config: of the classifier.
        seed: of weights and batches.
    """
    real = ImageSet(data.images[fold.train], data.labels[fold.train], data.classes)
    arms = (real, MixedDataset(real, synthetic, ratio))
    found = [
        fit_classifier(arm, real.images, len(data.classes), config, seed).classes_of(data.images[fold.test])
        for arm in arms
    ]
    return Run(number, seed, fold.test, len(fold.train), found[0], found[1])


def needed_per_class(data: LabelledImages, folds: Sequence[Fold], ratio: float) -> int:
    """Synthetic images of each class that the largest fold takes."""
    largest = max(len(fold.train) for fold in folds)
    return max(1, int(np.ceil(round(ratio * largest) / len(data.classes))))
