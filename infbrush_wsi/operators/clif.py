"""CLIF: the convolutional local image function that renders a feature map at any positions and scale (INFD §3.2).

Each query pixel takes the nearest feature, where it lies in that feature's cell and how large it is in cells;
convolutions on the query lattice make colours of that. Two things differ from the published code, and both make a
patch equal to the same patch of the whole: channels are normalised pixel by pixel (group statistics would depend on
the patch), and a window is computed from the pixels around it, also beyond the border, where features are continued
(zero padding would make borders of patches, in training too).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators.query import Query

Norm = Literal["channel", "none"]
GEOMETRY = 4
"""Channels beside the features: relative position and relative cell, y and x."""


class Clif(nn.Module):
    """Renders windows of any lattice from a feature map.

    Args:
        features: channels of the feature map; 128 published.
        width: channels of the convolutions; 256 published.
        blocks: residual blocks of two convolutions; 2 published.
        channels: bands of the picture.
        norm: 'channel': mean and variance over the channels of each pixel; 'none'. Published: groups over the patch.

    Raises:
        ConfigError: for sizes that are not positive, or another norm.
    """

    def __init__(
        self, features: int = 128, width: int = 256, blocks: int = 2, channels: int = 3, norm: Norm = "channel"
    ) -> None:
        super().__init__()
        if min(features, width, channels) < 1 or blocks < 0:
            raise ConfigError(f"CLIF needs positive sizes, not {features=}, {width=}, {blocks=}, {channels=}")
        if norm not in ("channel", "none"):
            raise ConfigError(f"CLIF's norm must be 'channel' or 'none', not {norm!r}")
        self.enter = nn.Conv2d(features + GEOMETRY, width, 3)
        self.blocks = nn.ModuleList(_Block(width, norm) for _ in range(blocks))
        self.norm = _norm(width, norm)
        self.leave = nn.Conv2d(width, channels, 3)

    @property
    def reach(self) -> int:
        """Pixels that a pixel looks away, the halo of a window; 6 with two blocks."""
        return 2 + 2 * len(self.blocks)

    def forward(self, features: Tensor, query: Query) -> Tensor:
        """Render.

        Args:
            features: (B, C, H, W).
            query: B windows of (h, w) pixels, on the same device.

        Returns:
            (B, channels, h, w).
        """
        x = self.enter(gathered(features, query, self.reach))
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.leave(functional.silu(self.norm(x)))
        return out


def gathered(features: Tensor, query: Query, margin: int) -> Tensor:
    """What CLIF's convolutions see at each pixel of the windows, grown by `margin` on every side.

    Args:
        features: (B, C, H, W).
        query: B windows of (h, w) pixels.
        margin: pixels.

    Returns:
        (B, C + 4, h + 2 margin, w + 2 margin): the nearest feature (beyond the border that at the border), the
        position relative to its centre and the pixel's sides, both so that a feature cell is 2 wide, y before x.
    """
    y, x = (query.coordinates(axis, margin) for axis in (0, 1))
    height, width = features.shape[-2:]
    rows, columns = y.floor().long().clamp(0, height - 1), x.floor().long().clamp(0, width - 1)
    nearest = torch.stack(
        [f.index_select(1, i).index_select(2, j) for f, i, j in zip(features, rows, columns, strict=True)]
    )
    # Relative to the lattice of cells, which goes on beyond the border: always between -1 and 1, as in training.
    relative = [(2 * (u - u.floor()) - 1).to(features) for u in (y, x)]
    shape = (len(query), 1, *nearest.shape[-2:])
    position = [relative[0][:, None, :, None].expand(shape), relative[1][:, None, None, :].expand(shape)]
    cell = (2 * query.cell).to(features)[:, :, None, None].expand(-1, -1, *shape[2:])
    out = torch.cat([nearest, *position, cell], dim=1)
    return out.contiguous(memory_format=torch.channels_last)


class _Block(nn.Module):
    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.norms = nn.ModuleList(_norm(width, norm) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        kept = x[..., 2:-2, 2:-2]
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            x = convolution(functional.silu(norm(x)))
        return kept + x


class _ChannelNorm(nn.LayerNorm):
    """Over the channels of each pixel of (B, C, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _norm(width: int, norm: Norm) -> nn.Module:
    return _ChannelNorm(width) if norm == "channel" else nn.Identity()
