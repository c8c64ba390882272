"""Which pixels of an overview hold something: tissue on a slide, data in a raster."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

LOWEST_CHROMA = 10
HIGHEST_CHROMA = 30
"""Otsu's threshold is kept in this range (grey levels of max - min over R, G, B).

Below, JPEG noise on blank glass would count as tissue; above, a field full of tissue would be split in two.
"""


def otsu(values: NDArray[np.uint8]) -> int:
    """Otsu's threshold: pixels above it form one class, the others the other.

    Args:
        values: uint8 of any shape, at least one value.

    Returns:
        The grey level that maximises the variance between both classes (the lowest one on a tie).
    """
    histogram = np.bincount(values.ravel(), minlength=256).astype(np.float64)
    below = np.cumsum(histogram)
    above = below[-1] - below
    total = np.cumsum(histogram * np.arange(256))
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = total / below - (total[-1] - total) / above
        between = np.nan_to_num(below * above * difference**2, nan=0.0, posinf=0.0)
    return int(np.argmax(between))


def tissue_mask(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find stained tissue on a bright, colourless background.

    The chroma (largest minus smallest of R, G, B) is used and not the saturation of HSV, which is noise where the
    image is black. For other than three channels the darkness of the mean channel takes its place.

    Args:
        image: uint8 (h, w, C).

    Returns:
        bool (h, w); all False on blank glass.
    """
    colour = image[..., :3]
    if colour.shape[-1] == 3:
        blurred = np.asarray(Image.fromarray(np.ascontiguousarray(colour)).filter(ImageFilter.BoxBlur(1)))
        chroma = blurred.max(axis=-1) - blurred.min(axis=-1)
    else:
        chroma = (255 - colour.mean(axis=-1)).astype(np.uint8)
    threshold = min(max(otsu(chroma), LOWEST_CHROMA), HIGHEST_CHROMA)
    return np.asarray(chroma > threshold)


def collar_mask(image: NDArray[np.uint8], *, dark: int = 6, share: float = 0.002) -> NDArray[np.bool_]:
    """Valid pixels of a raster that declares no mask: all but a black collar around it.

    A rotated or clipped aerial image is often padded with black and not tagged so. A dark region counts as collar
    if it touches the edge of the image and covers at least `share` of it.

    Args:
        image: uint8 (h, w, C).
        dark: largest grey level of a collar pixel in every channel (above 0 because JPEG rings).
        share: smallest collar, as a share of the image.

    Returns:
        bool (h, w).
    """
    black = (image <= dark).all(axis=-1)
    if not black.any():
        return np.asarray(~black)
    from scipy import ndimage

    labels, _ = ndimage.label(black)
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    sizes = np.bincount(labels.ravel())
    collar = [label for label in edge if label and sizes[label] >= share * labels.size]
    return np.asarray(~np.isin(labels, collar))
