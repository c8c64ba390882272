"""A convolutional neural operator: a U-Net whose layers keep functions band-limited (CNO as score network).

Convolutions and activations at a level never make frequencies that its lattice cannot hold: activations work at twice
the resolution, and levels are joined by alias-free resampling. What is left to depend on the resolution is the size of
the 3 x 3 kernels in physical units; the pipeline fixes that too, with `detail="training"`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from infbrush_wsi.operators.alias_free import AliasFreeActivation, resample


class CnoBlock(nn.Module):
    """norm, 3x3, shift by the embedding, alias-free GELU, 3x3; residual.

    Args:
        inputs: channels in.
        outputs: channels out.
        embedding: width of the conditioning vector.
        local: see `AliasFreeActivation`.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, *, local: bool) -> None:
        super().__init__()
        # One group: a scale for the whole function, which aliases nothing.
        self.norm = nn.GroupNorm(1, inputs)
        self.first = _conv(inputs, outputs)
        self.shift = nn.Linear(embedding, outputs)
        self.activation = AliasFreeActivation(local=local)
        self.second = _conv(outputs, outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B, inputs, H, W), (B, E) → (B, outputs, H, W)."""
        y = self.first(self.norm(x)) + self.shift(embedding)[:, :, None, None]
        return self.skip(x) + self.second(self.activation(y))  # type: ignore[no-any-return]


class CnoBody(nn.Module):
    """Lift, blocks on the way down and up with skips, head.

    Args:
        channels: of the function.
        width: channels at the finest level.
        multipliers: of the channels of each level.
        layers: blocks a level, on the way down and up each.
        embedding: width of the conditioning vector.
        local: activations with short windowed-sinc filters instead of Fourier series.
    """

    def __init__(
        self, channels: int, width: int, multipliers: Sequence[int], layers: int, embedding: int, *, local: bool
    ) -> None:
        super().__init__()
        widths = [width * m for m in multipliers]
        self.lift = _conv(channels, widths[0])
        self.down, self.up = nn.ModuleList(), nn.ModuleList()

        def stage(inputs: int, outputs: int) -> nn.ModuleList:
            sizes = [inputs, *[outputs] * layers]
            return nn.ModuleList(CnoBlock(a, b, embedding, local=local) for a, b in pairwise(sizes))

        for level, wide in enumerate(widths):
            self.down.append(stage(widths[max(level - 1, 0)], wide))
        for level in reversed(range(len(widths) - 1)):
            self.up.append(stage(widths[level + 1] + widths[level], widths[level]))
        self.norm = nn.GroupNorm(1, widths[0])
        self.head = _conv(widths[0], channels)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B, C, H, W), (B, E) → (B, C, H, W)."""
        x = self.lift(x)
        skips: list[Tensor] = []
        for level, stage in enumerate(self.down):
            if level:
                skips.append(x)
                x = resample(x, (max(2, x.shape[-2] // 2), max(2, x.shape[-1] // 2)))
            x = _through(stage, x, embedding)
        for stage in self.up:
            skip = skips.pop()
            x = torch.cat([resample(x, (skip.shape[-2], skip.shape[-1])), skip], dim=1)
            x = _through(stage, x, embedding)
        return self.head(self.norm(x))  # type: ignore[no-any-return]


def _through(stage: nn.Module, x: Tensor, embedding: Tensor) -> Tensor:
    for block in stage.children():
        x = block(x, embedding)
    return x


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="circular")
