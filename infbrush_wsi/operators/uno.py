"""The U-shaped operator on the grid (UNO; ∞-Diff §1.7): global layout at a cost independent of the image size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infbrush_wsi.operators.grid_descent import GridDescent, pairs
from infbrush_wsi.operators.packed_conv import PackedConv2d


class GridUNet(GridDescent):
    """A convolutional U-Net on any grid size, with attention at coarse levels and condition tokens at the bottleneck.

    Args:
        width: channels at the finest level.
        multipliers: channels of each level as multiples of `width`, from fine to coarse.
        blocks: residual blocks per level on the way down (and up).
        embedding: width of the conditioning vector.
        context: width of condition tokens; None: none.
        attention_from: first level (0 = finest) with self-attention; the bottleneck always has it.
        trained_side: side of the grid in training; attention windows never exceed what it implies.
        dropout: in levels with attention.
        latent: width of a latent that scales every block; 0: none.
    """

    def __init__(
        self,
        width: int,
        multipliers: Sequence[int],
        blocks: int,
        embedding: int,
        context: int | None,
        attention_from: int,
        trained_side: int,
        dropout: float = 0.0,
        latent: int = 0,
    ) -> None:
        super().__init__(width, multipliers, blocks, embedding, context, attention_from, trained_side, dropout, latent)
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(self.widths))):
            channels = self.widths[level]
            self.up.append(self._stage([2 * channels] * blocks, channels, level))
            if level:
                self.grow.append(PackedConv2d(channels, self.widths[level - 1], 3, padding=1))
        self.head = PackedConv2d(width, width, 1)
        self.arrange()

    def forward(
        self, grid: Tensor, embedding: Tensor, tokens: Tensor | None = None, latent: Tensor | None = None
    ) -> Tensor:
        """(B, width, rows, columns), (B, E), (B, L, context), (B, Z) → (B, width, rows, columns)."""
        embedding = F.gelu(embedding)  # once for all blocks
        x, skips = self.descend(grid, embedding, tokens, latent)
        for step, stage in enumerate(self.up):
            for block, attention in pairs(stage):
                x = attention(block(torch.cat([x, skips.pop()], dim=1), embedding, latent))
            if step < len(self.grow):
                x = self.grow[step](_doubled(x, skips[-1].shape[-2:]))
        return self.head(F.gelu(x))  # type: ignore[no-any-return]


def _doubled(x: Tensor, size: torch.Size) -> Tensor:
    """Nearest-neighbour doubling, cut to `size` (a level with an odd side lost half a cell on the way down)."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")[:, :, : size[0], : size[1]]
