"""The layers of our models as the published code of ∞-Diff runs them, to be measured against. Not a benchmark itself.

A set of points is a masked dense (B, C, H, W) image: zeros where there is no point, 1 x 1 convolutions for linear
maps, layer norm over dim 1 written out as in `channel_norm`, a depthwise convolution of the whole image divided by a
convolution of the mask, and the mask once more at the end of a block (§1.7, §1.8). The functions take *our* modules
and their weights, so that both ways give the same numbers; what is ours in the architecture (where modulation takes
its vector from, biases of the norms) is the same on both sides.

Nothing here asks for a memory layout: it follows from that of the image that is put in. A `contiguous` image is what
the dense evaluation of the published code gets. Its masked path takes images that `rearrange` has made from tokens,
and these are strided like channels-last ones, so both are measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infbrush_wsi.domain import Shape
from infbrush_wsi.models.infbrush.block import PointBlock


@dataclass(frozen=True)
class Density:
    """What the published code computes once a forward pass and hands to all blocks.

    Attributes:
        norm: (B, 1, H, W) share of each k x k neighbourhood that holds points, one where there is none.
        mask: (B, 1, H, W), one at points; None: all pixels are points (dense evaluation).
    """

    norm: Tensor
    mask: Tensor | None = None

    @classmethod
    def of_points(cls, flat: Tensor, shape: Shape, kernel_size: int) -> Density:
        """For one image with points at the row-major pixel indices `flat` (N,)."""
        mask = torch.zeros(shape.count)
        mask[flat] = 1.0
        image = mask.reshape(1, 1, shape.h, shape.w)
        norm = _box_convolution(image, kernel_size)
        norm[norm < 1e-5] = 1.0
        return cls(norm, image)

    @classmethod
    def of_image(cls, like: Tensor, kernel_size: int) -> Density:
        """For all pixels of an image (B, C, H, W): less than one only at its borders."""
        return cls(_box_convolution(torch.ones_like(like[:, :1]), kernel_size))


def _box_convolution(mask: Tensor, kernel_size: int) -> Tensor:
    weight = mask.new_full((1, 1, kernel_size, kernel_size), 1.0 / kernel_size**2)
    return F.conv2d(mask, weight, padding=kernel_size // 2)


def points_to_image(values: Tensor, flat: Tensor, shape: Shape, layout: torch.memory_format) -> Tensor:
    """(N, C) values at the pixels `flat` → (1, C, H, W), zero elsewhere."""
    dense = values.new_zeros(shape.count, values.shape[1]).index_copy(0, flat, values)
    return dense.reshape(1, shape.h, shape.w, -1).permute(0, 3, 1, 2).contiguous(memory_format=layout)


def image_to_points(image: Tensor, flat: Tensor) -> Tensor:
    """(1, C, H, W) → (N, C) at the pixels `flat`."""
    return image[0].flatten(1)[:, flat].T


def channel_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Layer norm over dim 1 of (B, C, H, W)."""
    variance = torch.var(x, dim=1, unbiased=False, keepdim=True)
    mean = torch.mean(x, dim=1, keepdim=True)
    weight, bias = norm.weight[None, :, None, None], norm.bias[None, :, None, None]
    return (x - mean) * (variance + norm.eps).rsqrt() * weight + bias


def pixel_linear(x: Tensor, linear: nn.Linear) -> Tensor:
    """A linear map of the channels as a 1 x 1 convolution: (B, C, H, W) → (B, C', H, W)."""
    return F.conv2d(x, linear.weight[:, :, None, None], linear.bias)


def depthwise(x: Tensor, weight: Tensor) -> Tensor:
    """Depthwise convolution of (B, C, H, W) with (C, k, k)."""
    return F.conv2d(x, weight.unsqueeze(1), padding=weight.shape[-1] // 2, groups=weight.shape[0])


def published_block(
    block: PointBlock, x: Tensor, density: Density, embedding: Tensor, skip: Tensor | None = None
) -> Tensor:
    """`PointBlock` on an image: (B, C, H, W), vector (B, E) → (B, C, H, W)."""
    mask = density.mask
    if block.join is not None and skip is not None:
        x = _masked(pixel_linear(torch.cat([x, skip], dim=1), block.join), mask)
    s1, b1, s2, b2 = block.modulation(F.gelu(embedding))[:, :, None, None].chunk(4, dim=1)
    h = _masked(channel_norm(x, block.norm1) * (1 + s1) + b1, mask)
    x = x + depthwise(h, block.conv.weight) / density.norm
    h = channel_norm(x, block.norm2) * (1 + s2) + b2
    return _masked(x + pixel_linear(F.gelu(pixel_linear(h, block.expand)), block.contract), mask)


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def awaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every weight that starts at zero some noise: a layer that is off would hide a wrong result before it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                fan_in = parameter[0].numel() if parameter.ndim > 1 else 25
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * fan_in**-0.5)
    return module


def check_equal(what: str, ours: Tensor, theirs: Tensor, tolerance: float = 1e-3) -> float:
    """The largest difference, printed; nothing may be timed that does not compute the same.

    Raises:
        SystemExit: if it is beyond `tolerance`.
    """
    difference = float((ours - theirs).abs().max())
    print(f"{what}: largest difference {difference:.1e} (values up to {float(theirs.abs().max()):.2f})")
    if not difference <= tolerance:
        raise SystemExit(f"{what}: the two do not compute the same")
    return difference
