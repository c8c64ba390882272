"""Ways to damage images, by degrees: what the feature network learns to see."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

KINDS = ("none", "blur", "noise", "grain", "mosaic", "shuffle", "colour", "contrast", "blend")


def damage(images: Tensor, kind: int, level: float, chance: torch.Generator) -> Tensor:
    """Images (B, 3, s, s) in [0, 1], damaged in one way.

    Args:
        images: to damage.
        kind: index into `KINDS`.
        level: 0 hardly, 1 strongly.
        chance: of what is random.
    """
    name = KINDS[kind]
    if name == "blur":
        return blurred(images, 0.6 + 2.4 * level)
    if name == "noise":
        return (images + (0.02 + 0.15 * level) * _normal(images, images.shape[-1], chance)).clamp(0, 1)
    if name == "grain":
        coarse = _normal(images, images.shape[-1] // 4, chance)
        return (images + (0.02 + 0.15 * level) * _resized(coarse, images.shape[-1])).clamp(0, 1)
    if name == "mosaic":
        cell = 2 + round(4 * level)
        return _resized(avg_pool2d(images, cell, ceil_mode=True, count_include_pad=False), images.shape[-1], "nearest")
    if name == "shuffle":
        return shuffled(images, 2 + round(6 * level), chance)
    if name == "colour":
        gain = 1 + (0.08 + 0.3 * level) * (2 * torch.rand(1, 3, 1, 1, generator=chance) - 1)
        return (images * gain).clamp(0, 1)
    if name == "contrast":
        gamma = torch.exp((0.1 + 0.6 * level) * torch.randn(1, generator=chance).sign())
        return images.clamp_min(1e-4) ** gamma
    if name == "blend":
        share = 0.1 + 0.4 * level
        return (1 - share) * images + share * images.roll(1, dims=0)
    return images


def blurred(images: Tensor, sigma: float) -> Tensor:
    """By a Gaussian of `sigma` pixels."""
    reach = max(1, round(3 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    wide = pad(images, (reach,) * 4, mode="reflect")
    return conv2d(conv2d(wide, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def shuffled(images: Tensor, reach: int, chance: torch.Generator) -> Tensor:
    """Every pixel is taken from up to `reach` pixels away."""
    _, _, h, w = images.shape
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    rows, columns = (
        (at + torch.randint(-reach, reach + 1, (h, w), generator=chance)).clamp(0, side - 1)
        for at, side in ((rows, h), (columns, w))
    )
    return images[..., rows, columns]


def _normal(images: Tensor, side: int, chance: torch.Generator) -> Tensor:
    return torch.randn(*images.shape[:2], side, side, generator=chance)


def _resized(images: Tensor, side: int, mode: str = "bilinear") -> Tensor:
    return interpolate(images, (side, side), mode=mode)
