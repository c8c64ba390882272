"""The U-shaped operator on the grid (UNO; ∞-Diff §1.7): global layout at a cost independent of the image size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infbrush_wsi.operators.grid_layers import GridAttention, GridBlock
from infbrush_wsi.operators.packed_conv import PackedConv2d


class GridUNet(nn.Module):
    """A convolutional U-Net on any grid size, with attention at coarse levels and condition tokens at the bottleneck.

    Args:
        width: channels at the finest level.
        multipliers: channels of each level as multiples of `width`, from fine to coarse.
        blocks: residual blocks per level on the way down (and up).
        embedding: width of the conditioning vector.
        context: width of condition tokens.
        attention_from: first level (0 = finest) with self-attention; the bottleneck always has it.
        trained_side: side of the grid in training; attention windows never exceed what it implies.
        dropout: in levels with attention.
    """

    def __init__(
        self,
        width: int,
        multipliers: Sequence[int],
        blocks: int,
        embedding: int,
        context: int,
        attention_from: int,
        trained_side: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [width * m for m in multipliers]
        sides = [max(1, trained_side >> level) for level in range(len(widths))]
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()

        def stage(inputs: Sequence[int], outputs: int, level: int) -> nn.ModuleList:
            attends = level >= attention_from
            layers = nn.ModuleList()
            for channels in inputs:
                layers.append(GridBlock(channels, outputs, embedding, dropout if attends else 0.0))
                layers.append(GridAttention(outputs, sides[level]) if attends else nn.Identity())
            return layers

        for level, channels in enumerate(widths):
            self.down.append(stage([channels] * blocks, channels, level))
            if level + 1 < len(widths):
                self.shrink.append(PackedConv2d(channels, widths[level + 1], 3, stride=2, padding=1))
        top = widths[-1]
        self.middle1 = GridBlock(top, top, embedding, dropout)
        self.attention = GridAttention(top, sides[-1], context)
        self.middle2 = GridBlock(top, top, embedding, dropout)
        for level in reversed(range(len(widths))):
            channels = widths[level]
            self.up.append(stage([2 * channels] * blocks, channels, level))
            if level:
                self.grow.append(PackedConv2d(channels, widths[level - 1], 3, padding=1))
        self.head = PackedConv2d(width, width, 1)
        self.arrange()

    def arrange(self) -> None:
        """Lay the weights as the convolutions read them; otherwise every call copies them. Also after loading."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, grid: Tensor, embedding: Tensor, tokens: Tensor) -> Tensor:
        """(B, width, rows, columns), (B, E), (B, L, context) → (B, width, rows, columns)."""
        x = grid.contiguous(memory_format=torch.channels_last)
        embedding = F.gelu(embedding)  # once for all blocks
        skips: list[Tensor] = []
        for level, stage in enumerate(self.down):
            for block, attention in _pairs(stage):
                x = attention(block(x, embedding))
                skips.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
        x = self.middle2(self.attention(self.middle1(x, embedding), tokens), embedding)
        for step, stage in enumerate(self.up):
            for block, attention in _pairs(stage):
                x = attention(block(torch.cat([x, skips.pop()], dim=1), embedding))
            if step < len(self.grow):
                x = self.grow[step](_doubled(x, skips[-1].shape[-2:]))
        return self.head(F.gelu(x))  # type: ignore[no-any-return]


def _pairs(stage: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    layers = list(stage.children())
    return list(zip(layers[::2], layers[1::2], strict=True))


def _doubled(x: Tensor, size: torch.Size) -> Tensor:
    """Nearest-neighbour doubling, cut to `size` (a level with an odd side lost half a cell on the way down)."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")[:, :, : size[0], : size[1]]
