"""The way down of the U-Net on the grid: what the denoiser's U-Net and the encoder of ∞-Diff have in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from infbrush_wsi.operators.grid_layers import GridAttention, GridBlock
from infbrush_wsi.operators.packed_conv import PackedConv2d


class GridDescent(nn.Module):
    """Residual blocks and attention from the finest level to the bottleneck, on any grid size.

    Args:
        width: channels at the finest level.
        multipliers: channels of each level as multiples of `width`, from fine to coarse.
        blocks: residual blocks per level.
        embedding: width of the conditioning vector; None: no modulation.
        context: width of condition tokens that the bottleneck attends to; None: none.
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
        embedding: int | None,
        context: int | None,
        attention_from: int,
        trained_side: int,
        dropout: float = 0.0,
        latent: int = 0,
    ) -> None:
        super().__init__()
        self.widths = [width * m for m in multipliers]
        self._sides = [max(1, trained_side >> level) for level in range(len(self.widths))]
        self._attention_from, self._embedding, self._dropout, self._latent = attention_from, embedding, dropout, latent
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        for level, channels in enumerate(self.widths):
            self.down.append(self._stage([channels] * blocks, channels, level))
            if level + 1 < len(self.widths):
                self.shrink.append(PackedConv2d(channels, self.widths[level + 1], 3, stride=2, padding=1))
        top = self.widths[-1]
        self.middle1 = GridBlock(top, top, embedding, dropout, latent)
        self.attention = GridAttention(top, self._sides[-1], context)
        self.middle2 = GridBlock(top, top, embedding, dropout, latent)

    def _stage(self, inputs: Sequence[int], outputs: int, level: int) -> nn.ModuleList:
        """Blocks of a level, each followed by its attention."""
        attends = level >= self._attention_from
        layers = nn.ModuleList()
        for channels in inputs:
            dropout = self._dropout if attends else 0.0
            layers.append(GridBlock(channels, outputs, self._embedding, dropout, self._latent))
            layers.append(GridAttention(outputs, self._sides[level]) if attends else nn.Identity())
        return layers

    def arrange(self) -> None:
        """Lay the weights as the convolutions read them; otherwise every call copies them. Also after loading."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def descend(
        self,
        grid: Tensor,
        embedding: Tensor | None = None,
        tokens: Tensor | None = None,
        latent: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """To the bottleneck.

        Args:
            grid: (B, width, rows, columns).
            embedding: (B, E) activated conditioning vector.
            tokens: (B, L, context).
            latent: (B, Z).

        Returns:
            (B, widths[-1], rows', columns') and what each block left, in order.
        """
        x = grid.contiguous(memory_format=torch.channels_last)
        skips: list[Tensor] = []
        for level, stage in enumerate(self.down):
            for block, attention in pairs(stage):
                x = attention(block(x, embedding, latent))
                skips.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
        x = self.attention(self.middle1(x, embedding, latent), tokens)
        return self.middle2(x, embedding, latent), skips


def pairs(stage: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """The blocks of a level with their attention."""
    layers = list(stage.children())
    return list(zip(layers[::2], layers[1::2], strict=True))
