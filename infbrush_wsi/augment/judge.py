"""A classifier of real images that is trained to judge synthetic ones, of the same size and pixel size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from infbrush_wsi.augment.confidence import confident
from infbrush_wsi.augment.protocol.classifier import Classifier, ClassifierConfig, fit_classifier
from infbrush_wsi.augment.protocol.folds import make_folds
from infbrush_wsi.augment.protocol.labelled import ImageSet, resized_square
from infbrush_wsi.augment.selection import Selection, everything
from infbrush_wsi.augment.synthetic import SyntheticDataset
from infbrush_wsi.errors import DatasetError
from infbrush_wsi.metrics.crops import CropRule
from infbrush_wsi.metrics.sampling import Sampler
from infbrush_wsi.sources.collection import Collection

CHECKS = 5
"""One fifth of the patients or images is kept out of the training, to tell how often the judge is right."""
PER_IMAGE = 8


@dataclass(frozen=True)
class Judge:
    """A trained classifier of square windows.

    Attributes:
        classifier: of windows made to `side`.
        classes: what its outputs mean.
        side: of what the classifier sees, in pixels.
        accuracy: share of windows of left-out images that it gets right; None if no image could be left out.
        checked: number of those windows.
    """

    classifier: Classifier
    classes: tuple[str, ...]
    side: int
    accuracy: float | None
    checked: int

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (B, C, h, w) → probabilities (B, K) of the squares in their middle."""
        h, w = images.shape[-2:]
        least = min(h, w)
        top, left = (h - least) // 2, (w - least) // 2
        squares = images[..., top : top + least, left : left + least].permute(0, 2, 3, 1).numpy()
        made = np.stack([resized_square(square, self.side) for square in squares])
        return self.classifier(torch.from_numpy(np.ascontiguousarray(made.transpose(0, 3, 1, 2))))


@dataclass(frozen=True)
class Judging:
    """How a judge is made, and how sure it must be.

    Attributes:
        images: labelled real images; not those that the augmented classifier will be tested on.
        least: probability of its own class below which an image is dropped.
        config: of the classifier.
        per_image: random windows of each real image.
        seed: of windows, split and training.
    """

    images: Collection
    least: float = 0.5
    config: ClassifierConfig = field(default_factory=lambda: ClassifierConfig(side=128, steps=300))
    per_image: int = PER_IMAGE
    seed: int = 0

    def check(self, dataset: SyntheticDataset) -> None:
        """Refuse real images that cannot teach the classes of a data set, before anything is generated.

        Raises:
            DatasetError: if a class of the data set has no real image, or there are fewer than two classes.
        """
        known = self.images.classes
        missing = [name for name in dataset.classes if name not in known]
        if missing or len(known) < 2:
            raise DatasetError(
                f"a judge needs labelled real images of {', '.join(dataset.classes)} and two classes at least; those "
                f"given are of {', '.join(known) or 'no class'}"
            )

    def judge(self, dataset: SyntheticDataset) -> Judge:
        """A judge of images like those of a data set: windows of its size at its pixel size.

        Raises:
            DatasetError: see `check`; or if no real image is as large as a synthetic one.
        """
        self.check(dataset)
        known = self.images.classes
        rule = CropRule("crop", min(dataset.synthesis.size), self.per_image, self.seed, dataset.spacing)
        windows, owners = _windows(self.images, rule, self.config.side)
        items = [self.images.items[number] for number in owners]
        labels = np.array([known.index(str(item.label)) for item in items], np.int64)
        train, check = _split(labels.tolist(), [item.group or item.path for item in items], self.seed)
        classifier = self._fit(windows[train], labels[train], known)
        right = None if not len(check) else float((classifier.classes_of(windows[check]) == labels[check]).mean())
        return Judge(classifier, known, self.config.side, right, len(check))

    def select(self, chosen: SyntheticDataset | Selection, judge: Judge) -> Selection:
        """Drop the images of which the judge is not sure enough, see `confident`."""
        return confident(everything(chosen), judge, judge.classes, least=self.least)

    def _fit(self, windows: NDArray[np.uint8], labels: NDArray[np.int64], classes: Sequence[str]) -> Classifier:
        images = ImageSet(windows, labels, classes)
        return fit_classifier(images, images.images, len(classes), self.config, self.seed)


def _windows(images: Collection, rule: CropRule, side: int) -> tuple[NDArray[np.uint8], list[int]]:
    """Windows uint8 (N, side, side, C), and the number of the image that each is of."""
    made, owners = [], []
    for batch in Sampler(images, rule):
        made += [resized_square(pixels, side) for pixels in batch.pixels]
        owners += batch.image.tolist()
    return np.stack(made), owners


def _split(labels: Sequence[int], groups: Sequence[str], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Windows to train with and to check with; the latter are none where a class has too few images."""
    try:
        fold = make_folds(labels, groups, CHECKS, seed)[0]
    except DatasetError:
        return np.arange(len(labels)), np.empty(0, np.int64)
    return fold.train, fold.test
