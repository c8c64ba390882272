"""The same convolution when all pixels of a tile are there: a depthwise conv2d and a closed-form density."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from infbrush_wsi.points.support import LatticeSupport


def dense_depthwise(x: Tensor, kernel: Tensor, support: LatticeSupport) -> Tensor:
    """Depthwise convolution of tokens that are the pixels of a tile; zero outside the tile.

    Args:
        x: (B, h * w, C) row-major tokens.
        kernel: (C, k, k).
        support: the tile. Beyond the image zeros are right; beyond the tile they are not, hence its halo.

    Returns:
        (B, h * w, C).
    """
    h, w = support.box.h, support.box.w
    image = x.reshape(x.shape[0], h, w, -1).permute(0, 3, 1, 2)  # channels-last memory, no copy
    out = F.conv2d(image, kernel.to(x.dtype).unsqueeze(1), padding=kernel.shape[-1] // 2, groups=kernel.shape[0])
    return out.permute(0, 2, 3, 1).reshape(x.shape)


def dense_density(support: LatticeSupport, side: int, trained_side: int) -> Tensor:
    """Share of the trained k x k neighbourhood that holds points: (1, h * w, 1), less than one only at image borders.

    On a finer lattice it exceeds one by (side / trained_side)², which cancels the rescaled kernel's larger sum.
    """
    key = ("density", side, trained_side)
    if key not in support.derived:
        support.derived[key] = _density(support, side, trained_side)
    return support.derived[key]


def _density(support: LatticeSupport, side: int, trained_side: int) -> Tensor:
    counts = []
    for start, length, limit in (
        (support.box.y0, support.box.h, support.image.h),
        (support.box.x0, support.box.w, support.image.w),
    ):
        at = torch.arange(start, start + length)
        low, high = (at - side // 2).clamp_min(0), (at + side // 2).clamp_max(limit - 1)
        counts.append((high - low + 1).float())
    density = counts[0][:, None] * counts[1][None, :] / trained_side**2
    return density.reshape(1, -1, 1).to(support.device)


def near_border(support: LatticeSupport, side: int) -> bool:
    """Whether some neighbourhood of the tile reaches beyond the image."""
    box, reach = support.box, side // 2
    inside = box.x0 >= reach and box.y0 >= reach
    return not (inside and box.x1 <= support.image.w - reach and box.y1 <= support.image.h - reach)
