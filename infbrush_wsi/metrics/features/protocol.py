"""What a feature network must be able to do, and what it may be given."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.errors import BandMismatchError, RegionError


@runtime_checkable
class FeatureExtractor(Protocol):
    """A map from images to vectors.

    Attributes:
        name: the name under which `feature_extractor` finds it again.
        dimension: length D of a vector.
        input_size: side in pixels to which it resizes every image by itself; None if it takes images as they are.
        weight_hash: 16 hexadecimal digits that change with the weights. Distances are comparable between runs only if
            name and hash are equal.
    """

    name: str
    dimension: int
    input_size: int | None
    weight_hash: str

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features of a batch.

        Args:
            images: uint8 (B, H, W, 3), RGB.

        Returns:
            float32 (B, D).

        Raises:
            BandMismatchError: if the images have other than three channels.
            RegionError: if the images are too small.
        """
        ...


def check_images(images: NDArray[np.uint8], *, name: str, least_side: int = 1) -> None:
    """Refuse what is no batch of RGB images.

    Args:
        images: uint8 (B, H, W, 3).
        name: who asks, for the message.
        least_side: least H and W in pixels.

    Raises:
        BandMismatchError: if the images are not uint8 RGB.
        RegionError: if they are too small.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise BandMismatchError(
            f"{name!r} takes uint8 images (B, H, W, 3), not {images.dtype} {images.shape}; "
            "open sources of more bands with bands=(1, 2, 3)"
        )
    if 0 in images.shape or min(images.shape[1:3]) < least_side:
        raise RegionError(
            f"{name!r} needs images of at least {least_side} x {least_side} pixels, not a batch of {images.shape}"
        )
