"""The convolutional U-Net without attention, diffusers' own: the baseline that depends on the resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from diffusers import UNet2DModel
from torch import Tensor, nn

GROUPS = 8


class UNetBody(nn.Module):
    """diffusers' `UNet2DModel` on lattices of any size.

    Args:
        channels: of the function.
        width: channels at the finest level, a multiple of 8.
        multipliers: of the channels of each level.
        layers: residual blocks a level.
    """

    def __init__(self, channels: int, width: int, multipliers: Sequence[int], layers: int) -> None:
        super().__init__()
        levels = len(multipliers)
        self.unit = 2 ** (levels - 1)
        self.net: Any = UNet2DModel(
            in_channels=channels,
            out_channels=channels,
            block_out_channels=tuple(width * m for m in multipliers),
            layers_per_block=layers,
            down_block_types=("DownBlock2D",) * levels,
            up_block_types=("UpBlock2D",) * levels,
            add_attention=False,
            norm_num_groups=GROUPS,
            class_embed_type="identity",  # the embedding of the condition is added to that of time
        )

    @staticmethod
    def embedding_width(width: int) -> int:
        """Width of the embedding that it takes: diffusers fixes it to four times the first level's."""
        return 4 * width

    def forward(self, x: Tensor, timestep: Tensor, embedding: Tensor) -> Tensor:
        """(B, C, H, W), time steps (B,), (B, E) → (B, C, H, W)."""
        height, width = x.shape[-2:]
        extra = (-width % self.unit, -height % self.unit)
        padded = F.pad(x, (0, extra[0], 0, extra[1]), mode="replicate") if any(extra) else x
        out: Tensor = self.net(padded, timestep, class_labels=embedding, return_dict=False)[0]
        return out[..., :height, :width]
