"""Layers of the U-Net on the grid: channel norm, residual block, windowed attention, cross-attention.

Nothing here depends on the grid's size: norms are per node, and attention beyond the trained size works in
half-overlapping windows of that size whose results are blended, so that a large canvas sees what training saw.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infbrush_wsi.operators.latent_scale import LatentScale
from infbrush_wsi.operators.packed_conv import PackedConv2d
from infbrush_wsi.operators.pointwise import affine, linear, modulated_norm
from infbrush_wsi.operators.softmax_attention import softmax_attention

HEAD_WIDTH = 32
WINDOWS_AT_ONCE = 64


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each node: (B, C, H, W) → same."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        return self.modulated(x, self.weight, self.bias)

    def modulated(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """The norm times `scale` plus `shift`, (B or 1, 1, C), in the place of its own weight and bias."""
        return _normed(x.permute(0, 2, 3, 1), scale, shift, self.eps).permute(0, 3, 1, 2)


class GridBlock(nn.Module):
    """norm, GELU, 3x3, norm, modulation, GELU, dropout, 3x3, residual (∞-Diff §1.7 ConvBlock).

    Args:
        inputs: channels in.
        outputs: channels out.
        embedding: width of the conditioning vector; None: no modulation.
        dropout: probability.
        latent: width of a latent that scales the second norm too; 0: none.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int | None, dropout: float = 0.0, latent: int = 0) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(inputs), ChannelNorm(outputs)
        self.conv1 = PackedConv2d(inputs, outputs, 3, padding=1)
        self.conv2 = PackedConv2d(outputs, outputs, 3, padding=1)
        self.modulation = None if embedding is None else nn.Linear(embedding, 2 * outputs)
        self.latent = LatentScale(latent, outputs) if latent else None
        self.dropout = nn.Dropout(dropout)
        self.residual = PackedConv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, embedding: Tensor | None = None, latent: Tensor | None = None) -> Tensor:
        """(B, C, H, W), activated (B, E), latent (B, Z) → (B, C', H, W)."""
        h = self.conv1(F.gelu(self.norm1(x)))
        scale: Tensor = self.norm2.weight
        shift: Tensor = self.norm2.bias
        if self.modulation is not None and embedding is not None:
            scale, shift = affine(self.norm2, *self.modulation(embedding)[:, None, :].chunk(2, dim=2))
        if self.latent is not None and latent is not None:
            scale, shift = self.latent.applied(latent, scale, shift)
        h = self.norm2.modulated(h, scale, shift)
        return self.residual(x) + self.conv2(self.dropout(F.gelu(h)))  # type: ignore[no-any-return]


class GridAttention(nn.Module):
    """Softmax attention among nodes, and from nodes to condition tokens when `context` is set.

    Args:
        channels: width, a multiple of 32 or less than 64.
        window: largest side on which all nodes see each other; larger grids work in windows.
        context: width of condition tokens; None: self-attention only.
    """

    def __init__(self, channels: int, window: int, context: int | None = None) -> None:
        super().__init__()
        self.window = window
        self.heads = max(channels // HEAD_WIDTH, 1)
        self.norm = nn.LayerNorm(channels)
        self.maps = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.cross = CrossAttention(channels, context) if context is not None else None
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """(B, C, H, W), tokens (B, L, context) → (B, C, H, W)."""
        nodes = x.permute(0, 2, 3, 1)
        attend = self._whole if max(nodes.shape[1:3]) <= self.window else self._windows
        maps = linear(_normed(nodes, self.norm.weight, self.norm.bias, self.norm.eps), self.maps.weight, self.maps.bias)
        nodes = nodes + linear(attend(maps), self.out.weight, self.out.bias)
        if self.cross is not None and tokens is not None:
            nodes = self.cross(nodes, tokens)
        return nodes.permute(0, 3, 1, 2)

    def _whole(self, maps: Tensor) -> Tensor:
        """(B, h, w, 3C) → (B, h, w, C), every node sees every other."""
        b, h, w, _ = maps.shape
        q, k, v = (m.reshape(b, h * w, self.heads, -1).transpose(1, 2) for m in maps.chunk(3, dim=-1))
        return softmax_attention(q, k, v).transpose(1, 2).reshape(b, h, w, -1)

    def _windows(self, maps: Tensor) -> Tensor:
        """Half-overlapping windows, blended with a partition of unity (triangular weights)."""
        b, h, w, _ = maps.shape
        sides = (min(self.window, h), min(self.window, w))
        corners = [(y, x) for y in _starts(h, sides[0]) for x in _starts(w, sides[1])]
        total = maps.new_zeros(b, h, w, maps.shape[-1] // 3)
        weights = maps.new_zeros(h, w, 1)
        bump = _triangle(sides[0], maps)[:, None, None] * _triangle(sides[1], maps)[None, :, None]
        for first in range(0, len(corners), WINDOWS_AT_ONCE):
            some = corners[first : first + WINDOWS_AT_ONCE]
            parts = torch.cat([maps[:, y : y + sides[0], x : x + sides[1]] for y, x in some])
            for (y, x), out in zip(some, self._whole(parts).split(b), strict=True):
                total[:, y : y + sides[0], x : x + sides[1]] += out * bump
                weights[y : y + sides[0], x : x + sides[1]] += bump
        return total / weights


class CrossAttention(nn.Module):
    """Nodes attend to condition tokens (∞-Brush: vanilla cross-attention at the bottleneck).

    Args:
        channels: width of the nodes.
        context: width of the tokens.
    """

    def __init__(self, channels: int, context: int) -> None:
        super().__init__()
        self.heads = max(channels // HEAD_WIDTH, 1)
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.keys_values = nn.Linear(context, 2 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """(B, H, W, C), (B, L, context) → (B, H, W, C)."""
        b, h, w, c = nodes.shape
        q = (
            linear(_normed(nodes, self.norm.weight, self.norm.bias, self.norm.eps), self.query.weight, self.query.bias)
            .reshape(b, h * w, self.heads, -1)
            .transpose(1, 2)
        )
        k, v = (
            m.reshape(b, tokens.shape[1], self.heads, -1).transpose(1, 2)
            for m in self.keys_values(tokens).chunk(2, dim=-1)
        )
        out = softmax_attention(q, k, v).transpose(1, 2).reshape(b, h, w, c)
        return nodes + linear(out, self.out.weight, self.out.bias)


def _normed(nodes: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """`modulated_norm` of (B, H, W, C) nodes."""
    return modulated_norm(nodes.flatten(1, 2), scale, shift, eps).reshape(nodes.shape)


def _starts(length: int, side: int) -> list[int]:
    """Where half-overlapping windows of `side` begin so that they cover `length`."""
    return sorted({*range(0, length - side + 1, max(side // 2, 1)), length - side})


def _triangle(side: int, like: Tensor) -> Tensor:
    """(side,) weights that rise to the middle and stay above zero."""
    at = torch.arange(side, device=like.device, dtype=like.dtype)
    return torch.minimum(at + 0.5, side - at - 0.5)
