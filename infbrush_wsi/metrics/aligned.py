"""How alike two images are when one may be a shifted, flipped, turned or recoloured copy of the other.

Each image becomes one small plane: its pixels along the axis of colour on which they vary most (so a change of
colours leaves it as it is, up to sign), averaged to 32 x 32, without what varies slowly. Two planes are compared by
normalised cross-correlation over the part in which they overlap, for every shift and all eight orientations; the
largest absolute value counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.errors import ConfigError, DatasetError
from infbrush_wsi.metrics.features.protocol import check_images

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 32
PADDED = 2 * SIDE
SLOW = SIDE / 8
"""Standard deviation in plane pixels of what is taken off as slow: light and stain differ over whole tiles."""
LEAST_OVERLAP = 0.5
"""Share of a plane that must overlap. Copies that are shifted further are found in training tiles that overlap."""
BLOCK = 128
"""Training planes compared at once: 128 x 8 transforms of 64 x 64."""
FLAT = 1e-3
"""Planes of less contrast (of 255 grey levels) are nothing but background and are like no other."""
Planes = NDArray[np.float32]


@dataclass(frozen=True)
class Nearest:
    """The most similar training image of each image.

    Attributes:
        distance: float64 (N,), 1 - largest correlation: 0 for copies, about 0.5 to 0.8 for unrelated tissue.
        index: int64 (N,), number of that training image.
    """

    distance: NDArray[np.float64]
    index: NDArray[np.int64]


def aligned_planes(images: NDArray[np.uint8]) -> Planes:
    """What is compared of a batch.

    Args:
        images: uint8 (B, H, W, 3), at least 32 pixels a side. Stretched to a square if they are none.

    Returns:
        float32 (B, 32, 32), mean square 1, or 0 everywhere for images without contrast.

    Raises:
        BandMismatchError: if the images are not uint8 RGB.
        RegionError: if they are too small.
    """
    import torch
    from scipy.ndimage import gaussian_filter

    check_images(images, name="memorisation", least_side=SIDE)
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float()
    small = torch.nn.functional.interpolate(pixels, (SIDE, SIDE), mode="area").flatten(2).numpy()
    small = small - small.mean(axis=2, keepdims=True)
    _, vectors = np.linalg.eigh(small @ small.transpose(0, 2, 1))
    plane = np.einsum("bc,bcn->bn", vectors[:, :, -1], small).reshape(-1, SIDE, SIDE)
    plane = plane - gaussian_filter(plane, (0, SLOW, SLOW), mode="reflect")
    spread = np.sqrt(np.square(plane).mean(axis=(1, 2), keepdims=True))
    return np.asarray(np.where(spread > FLAT, plane / np.maximum(spread, FLAT), 0), dtype=np.float32)


def nearest_aligned(images: Planes, training: Planes, *, device: str = "cpu") -> Nearest:
    """The training plane most like each plane; time grows with the product of both numbers.

    Args:
        images: (N, 32, 32), see `aligned_planes`.
        training: (M, 32, 32).
        device: torch device.

    Raises:
        DatasetError: if a set is empty.
        ConfigError: if the device does not exist.
    """
    import torch

    if not len(images) or not len(training):
        raise DatasetError(f"{len(images)} images cannot be compared with {len(training)} training images")
    try:
        known = torch.from_numpy(training).to(device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"images cannot be compared on {device!r}: {error}") from error
    best = np.full(len(images), -1.0)
    index = np.zeros(len(images), dtype=np.int64)
    with torch.inference_mode():
        allowed = _allowed(known)
        for start in range(0, len(known), BLOCK):
            block = known[start : start + BLOCK]
            spectra, energy = _spectra(block), _energy(block)
            for number, image in enumerate(torch.from_numpy(images).to(device)):
                found = _largest(image, spectra, energy, allowed)
                at = int(found.argmax())
                if float(found[at]) > best[number]:
                    best[number], index[number] = float(found[at]), start + at
    return Nearest(1.0 - np.clip(best, 0.0, 1.0), index)


def _largest(image: Tensor, spectra: Tensor, energy: Tensor, allowed: Tensor) -> Tensor:
    """Largest absolute correlation of one plane in any orientation with each of a block: (M,)."""
    import torch

    found = spectra.new_zeros(len(spectra), dtype=torch.float32)
    for turned in _orientations(image):
        products = torch.fft.irfft2(spectra * _spectra(turned[None]).conj(), s=(PADDED, PADDED))
        # Of the plane itself, what lies under a training plane at shift s is what overlaps at -s seen from it.
        own = torch.roll(torch.flip(_energy(turned[None]), (1, 2)), (1, 1), (1, 2))
        scale = (energy * own).clamp_min(1e-6).sqrt()
        correlation = torch.where(allowed, products.abs() / scale, 0.0)
        found = torch.maximum(found, correlation.amax(dim=(1, 2)))
    return found


def _orientations(plane: Tensor) -> list[Tensor]:
    turned = [plane.rot90(quarter) for quarter in range(4)]
    return turned + [one.flip(0) for one in turned]


def _spectra(stack: Tensor) -> Tensor:
    import torch

    found: Tensor = torch.fft.rfft2(stack, s=(PADDED, PADDED))
    return found


def _energy(stack: Tensor) -> Tensor:
    """Sum of squares of each plane under another one that is moved by each shift: (M, 64, 64)."""
    import torch

    ones = torch.ones_like(stack[:1])
    found: Tensor = torch.fft.irfft2(_spectra(stack.square()) * _spectra(ones).conj(), s=(PADDED, PADDED))
    return found


def _allowed(stack: Tensor) -> Tensor:
    """Which shifts leave enough overlap: bool (64, 64)."""
    import torch

    away = torch.arange(PADDED, device=stack.device)
    left = (SIDE - torch.minimum(away, PADDED - away)).clamp_min(0)
    enough: Tensor = left[:, None] * left >= LEAST_OVERLAP * SIDE**2
    return enough
