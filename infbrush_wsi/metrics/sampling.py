"""From a set of images to features and statistics, in one pass and bounded memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.errors import DatasetError, MissingExtraError, RegionError, SourceError
from infbrush_wsi.metrics.crops import CropRule
from infbrush_wsi.metrics.features.protocol import FeatureExtractor
from infbrush_wsi.metrics.image_statistics import ImageStatistics
from infbrush_wsi.sources import Collection, Skipped, Source, open_source

BATCH = 16
Images = Collection | Sequence[Source]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """Samples that are held at once.

    Attributes:
        pixels: uint8 (B, size, size, 3).
        image: (B,), number of the image that each comes from.
    """

    pixels: NDArray[np.uint8]
    image: NDArray[np.int64]


@dataclass(frozen=True)
class SampleTable:
    """What is kept of the samples of a set.

    Attributes:
        features: float32 (N, D).
        image: (N,), number of the image that each comes from.
        skipped: images that gave none, and why.
    """

    features: NDArray[np.float32]
    image: NDArray[np.int64]
    skipped: tuple[Skipped, ...]

    @property
    def images(self) -> int:
        """Images that gave samples."""
        return len(np.unique(self.image))


class Sampler:
    """Reads the samples of a set of images, batch by batch.

    Args:
        images: a collection, whose items are opened one after another, or sources that are open.
        rule: which samples.
        bands: 1-based bands to open items with, for images of more than three channels.
        batch: samples held at once.
        each: called when an image has given its samples, or was skipped.

    Attributes:
        skipped: images that could not be read or are too small, filled while iterating.
    """

    def __init__(
        self,
        images: Images,
        rule: CropRule,
        *,
        bands: Sequence[int] | None = None,
        batch: int = BATCH,
        each: Callable[[], None] | None = None,
    ) -> None:
        self._images = images
        self._rule = rule
        self._bands = bands
        self._batch = batch
        self._each = each or (lambda: None)
        self.skipped: list[Skipped] = []

    def __iter__(self) -> Iterator[Batch]:
        """The batches, in the order of the images.

        Raises:
            DatasetError: at the end, if no image gave a sample.
        """
        self.skipped = []
        pixels: list[NDArray[np.uint8]] = []
        numbers: list[int] = []
        found = False
        for number, sample in self._samples():
            found = True
            pixels.append(sample)
            numbers.append(number)
            if len(pixels) == self._batch:
                yield Batch(np.stack(pixels), np.array(numbers, dtype=np.int64))
                pixels, numbers = [], []
        if pixels:
            yield Batch(np.stack(pixels), np.array(numbers, dtype=np.int64))
        if not found:
            reasons = "".join(f"\n  {entry.reason}" for entry in self.skipped[:3])
            raise DatasetError(
                f"none of {len(self.skipped)} images gives a {self._rule.kind} of {self._rule.size} pixels:{reasons}"
            )

    def _samples(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for number in range(image_count(self._images)):
            path = self._path(number)
            try:
                opened = self._open(number)
                with closing(opened) if isinstance(self._images, Collection) else nullcontext():
                    samples = self._rule.samples(opened)
                    # All crops of an image or none: a file that is damaged half way must not count as one. A grid may
                    # be too large for that.
                    yield from (
                        (number, sample) for sample in (samples if self._rule.kind == "grid" else list(samples))
                    )
            except MissingExtraError:
                raise
            except (SourceError, RegionError) as error:
                log.warning("skipped %s: %s", path, error)
                self.skipped.append(Skipped(path, str(error)))
            self._each()

    def _open(self, number: int) -> Source:
        if isinstance(self._images, Collection):
            item = self._images.items[number]
            return open_source(item.path, mpp=item.mpp, bands=self._bands)
        return self._images[number]

    def _path(self, number: int) -> str:
        return self._images.items[number].path if isinstance(self._images, Collection) else self._images[number].path


def image_count(images: Images) -> int:
    """How many images a set has."""
    return len(images.items) if isinstance(images, Collection) else len(images)


def sample_features(
    images: Images,
    rule: CropRule,
    extractor: FeatureExtractor,
    *,
    statistics: ImageStatistics | None = None,
    bands: Sequence[int] | None = None,
    batch: int = BATCH,
    each: Callable[[], None] | None = None,
) -> SampleTable:
    """Features of all samples, and image statistics in the same pass.

    Args:
        images: a collection or open sources.
        rule: which samples are taken.
        extractor: the feature network.
        statistics: filled with the same samples, if given.
        bands: 1-based bands of images with more than three channels.
        batch: samples held at once.
        each: called after each image.

    Raises:
        DatasetError: if no image gives a sample.
        RegionError: if samples are too small for the network.
    """
    sampler = Sampler(images, rule, bands=bands, batch=batch, each=each)
    features, numbers = [], []
    for part in sampler:
        features.append(extractor(part.pixels))
        numbers.append(part.image)
        if statistics is not None:
            statistics.update(part.pixels)
    return SampleTable(np.concatenate(features), np.concatenate(numbers), tuple(sampler.skipped))
