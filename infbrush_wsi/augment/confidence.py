"""Keep synthetic images in which a classifier sees the class that they were made for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from infbrush_wsi.augment.selection import Dropped, Selection, everything
from infbrush_wsi.augment.synthetic import SyntheticDataset
from infbrush_wsi.errors import ConfigError, DatasetError

BATCH = 32
Classify = Callable[[torch.Tensor], torch.Tensor]
"""uint8 (B, C, h, w) → probabilities (B, K), which sum to one."""


def confident(
    chosen: SyntheticDataset | Selection,
    classify: Classify,
    classes: Sequence[str],
    *,
    least: float = 0.5,
    batch: int = BATCH,
) -> Selection:
    """Drop images whose class has a lower probability than `least`.

    The classifier must not have seen the images that the augmented one will be judged on.

    Args:
        chosen: images to judge.
        classify: the classifier, with its own preprocessing; it is called without gradients.
        classes: what its K outputs mean.
        least: probability of the image's own class.
        batch: images at a time.

    Raises:
        ConfigError: if `least` is no probability.
        DatasetError: if the classifier lacks a class, or gives no probabilities of this shape.
    """
    if not 0.0 <= least <= 1.0:
        raise ConfigError(f"a probability lies between 0 and 1, not {least}")
    selection = everything(chosen)
    dataset = selection.dataset
    missing = [name for name in dataset.classes if name not in classes]
    if missing:
        raise DatasetError(f"the classifier knows {', '.join(classes)}, not {', '.join(missing)}")
    dropped = []
    for start in range(0, len(selection.kept), batch):
        indices = selection.kept[start : start + batch]
        found = _probabilities(classify, np.stack([dataset.pixels(index) for index in indices]), len(classes))
        for index, row in zip(indices, found, strict=True):
            own, most = float(row[classes.index(dataset.entry(index).label)]), classes[int(row.argmax())]
            if own < least:
                dropped.append(Dropped(index, f"looks like {most}", own))
    return selection.but(tuple(dropped))


def _probabilities(classify: Classify, images: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    with torch.no_grad():
        found = np.asarray(classify(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).cpu(), np.float64)
    if found.shape != (len(images), classes) or found.min() < -1e-6 or np.abs(found.sum(axis=1) - 1.0).max() > 1e-3:
        raise DatasetError(
            f"the classifier gave values of shape {found.shape} between {found.min():g} and {found.max():g} for "
            f"{len(images)} images, not {classes} probabilities for each; end it with a softmax"
        )
    return found
