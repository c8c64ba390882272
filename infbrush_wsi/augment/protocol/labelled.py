"""A labelled set of images in memory, made to one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from infbrush_wsi.errors import DatasetError
from infbrush_wsi.sources.collection import Collection, Item


@dataclass(frozen=True)
class LabelledImages:
    """Images with classes and patients.

    Attributes:
        images: uint8 (N, side, side, C).
        labels: (N,) class numbers.
        groups: patient or slide of each.
        classes: names.
        items: where each comes from.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    items: tuple[Item, ...]


def load_labelled(
    collection: Collection, side: int, progress: Callable[[int, int], None] | None = None
) -> LabelledImages:
    """Read all images of a collection whole, resized to squares of `side` pixels.

    Raises:
        DatasetError: if an image has no label, there are fewer than two classes, or channels differ.
        SourceError: if an image cannot be read.
    """
    from infbrush_wsi.sources.registry import open_source

    classes = collection.classes
    bare = [item.path for item in collection.items if item.label is None]
    if bare or len(classes) < 2:
        raise DatasetError(
            f"a classifier needs at least two classes and a label for every image; {len(classes)} classes, "
            f"{len(bare)} images without ({', '.join(bare[:3])})"
        )
    images = []
    for number, item in enumerate(collection.items):
        with open_source(item.path, mpp=item.mpp) as source:
            pixels, _ = source.thumbnail(4 * side)
        images.append(resized_square(pixels, side))
        if progress is not None:
            progress(number + 1, len(collection.items))
    if len({image.shape for image in images}) > 1:
        raise DatasetError("the images differ in their number of channels")
    labels = np.array([classes.index(str(item.label)) for item in collection.items], np.int64)
    groups = tuple(item.group or item.path for item in collection.items)
    return LabelledImages(np.stack(images), labels, groups, classes, collection.items)


def resized_square(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(h, w, C) as a square, antialiased."""
    tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].float()
    made = torch.nn.functional.interpolate(tensor, (side, side), mode="bilinear", antialias=True)
    return np.asarray(made[0].round().clamp(0, 255).byte().numpy().transpose(1, 2, 0))


class ImageSet(Dataset[tuple[torch.Tensor, int]]):
    """Images in memory as a data set of (uint8 tensor (C, side, side), class number).

    Args:
        images: uint8 (N, side, side, C).
        labels: class numbers.
        classes: names.
    """

    def __init__(self, images: NDArray[np.uint8], labels: Sequence[int] | NDArray[Any], classes: Sequence[str]) -> None:
        self.images, self.classes = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))), tuple(classes)
        self.targets = [int(label) for label in labels]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index], self.targets[index]
