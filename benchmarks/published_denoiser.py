"""The whole denoiser as the published code of ∞-Diff evaluates it on a full image. Not a benchmark itself.

Images are (B, C, H, W), in and between the point layers contiguous; see `published` for the blocks. The grid gets its
three nearest pixels a node through tokens, and is read back by `grid_sample`, whose result is contiguous again. Layer
norm of the grid's U-Net is `channel_norm`, attention goes through tokens and back. Left out is what is slow for other
reasons than these: nearest neighbours are searched once, not in every evaluation, and softmax attention is the one
that suits a CPU.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from published import Density, channel_norm, pixel_linear, published_block
from torch import Tensor, nn

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.operators.softmax_attention import softmax_attention
from infbrush_wsi.points.support import LatticeSupport
from infbrush_wsi.points.transfer import NEAREST, nearest_matrix


def plain_copy(net: InfBrushDenoiser) -> InfBrushDenoiser:
    """The network with torch's own convolutions and layout of the weights, whatever ours has."""
    twin = copy.deepcopy(net)
    for parameter in twin.parameters():
        parameter.data = parameter.data.contiguous()
    for module in twin.modules():
        if isinstance(module, nn.Conv2d):
            module.__class__ = nn.Conv2d  # its forward, without the packed weights of `PackedConv2d`
    return twin


@dataclass(frozen=True)
class NearestWeights:
    """Points → grid and back, for all pixels of one image size.

    Attributes:
        index: (nodes, 3) row-major pixel.
        weight: (nodes, 3, 1).
        where: (1, H * W, 1, 2) pixel centres in the units of `grid_sample`.
        grid: rows and columns of nodes.
    """

    index: Tensor
    weight: Tensor
    where: Tensor
    grid: tuple[int, int]

    @classmethod
    def of(cls, support: LatticeSupport) -> NearestWeights:
        """For the image that `support` covers whole, at its training resolution."""
        coords = support.coords[0]
        matrix = nearest_matrix(coords.numpy().astype("float64"), support.grid)
        nodes = support.grid.shape
        size = torch.tensor([nodes.w, nodes.h]) * support.grid.pitch
        return cls(
            torch.from_numpy(matrix.indices.astype("int64")).reshape(-1, NEAREST),
            torch.from_numpy(matrix.data).reshape(-1, NEAREST, 1),
            (2 * coords.flip(-1) / size - 1)[None, :, None],
            nodes.as_tuple(),
        )

    def to_grid(self, tokens: Tensor) -> Tensor:
        """(B, H * W, C) → (B, C, rows, columns)."""
        nodes: Tensor = (tokens[:, self.index] * self.weight).sum(2)
        return nodes.reshape(len(nodes), *self.grid, -1).permute(0, 3, 1, 2)

    def to_image(self, grid: Tensor, like: Tensor) -> Tensor:
        """(B, C, rows, columns) → (B, C, H, W)."""
        where = self.where.expand(len(grid), -1, -1, -1)
        found = F.grid_sample(grid, where, mode="bilinear", padding_mode="border", align_corners=False)
        return found.reshape(*found.shape[:2], *like.shape[2:])


def published_forward(
    net: InfBrushDenoiser, x: Tensor, timestep: Tensor, condition: ConditionBatch, nearest: NearestWeights
) -> Tensor:
    """`InfBrushDenoiser.forward` without CANO and positions: (B, channels, H, W) → same."""
    embedding, tokens = net._embed(timestep, condition, None)
    h = pixel_linear(x, net.lift)
    density = Density.of_image(h, int(net.config.kernel_size))
    skips = []
    for block in net.down:
        h = published_block(block, h, density, embedding)  # type: ignore[arg-type]
        skips.append(h)
    grid = nearest.to_grid(net.to_grid(h.permute(0, 2, 3, 1).flatten(1, 2)))
    h = pixel_linear(nearest.to_image(published_unet(net.uno, grid, embedding, tokens), x), net.from_grid)
    for block in net.up:
        h = published_block(block, h, density, embedding, skips.pop())  # type: ignore[arg-type]
    return pixel_linear(h, net.head)


def published_unet(uno: Any, x: Tensor, embedding: Tensor, tokens: Tensor) -> Tensor:
    """`GridUNet` on (B, C, rows, columns)."""
    skips: list[Tensor] = []
    for level, stage in enumerate(uno.down):
        for block, attention in _pairs(stage):
            x = _attention(attention, _grid_block(block, x, embedding), None)
            skips.append(x)
        if level < len(uno.shrink):
            x = uno.shrink[level](x)
    x = _attention(uno.attention, _grid_block(uno.middle1, x, embedding), tokens)
    x = _grid_block(uno.middle2, x, embedding)
    for step, stage in enumerate(uno.up):
        for block, attention in _pairs(stage):
            x = _attention(attention, _grid_block(block, torch.cat([x, skips.pop()], dim=1), embedding), None)
        if step < len(uno.grow):
            x = uno.grow[step](F.interpolate(x, scale_factor=2.0, mode="nearest"))
    return uno.head(F.gelu(x))  # type: ignore[no-any-return]


def _pairs(stage: Any) -> list[tuple[Any, Any]]:
    layers = list(stage.children())
    return list(zip(layers[::2], layers[1::2], strict=True))


def _grid_block(block: Any, x: Tensor, embedding: Tensor) -> Tensor:
    scale, shift = block.modulation(F.gelu(embedding))[:, :, None, None].chunk(2, dim=1)
    h = block.conv1(F.gelu(channel_norm(x, block.norm1)))
    h = channel_norm(h, block.norm2) * (1 + scale) + shift
    return block.conv2(F.gelu(h)) + block.residual(x)  # type: ignore[no-any-return]


def _attention(attention: Any, x: Tensor, tokens: Tensor | None) -> Tensor:
    if isinstance(attention, torch.nn.Identity):
        return x
    b, c, h, w = x.shape
    nodes = x.permute(0, 2, 3, 1).reshape(b, h * w, c)
    maps = attention.maps(attention.norm(nodes)).reshape(b, h * w, 3, attention.heads, -1)
    query, key, value = maps.permute(2, 0, 3, 1, 4)
    out = softmax_attention(query, key, value).transpose(1, 2).reshape(b, h * w, c)
    x = x + attention.out(out).reshape(b, h, w, c).permute(0, 3, 1, 2)
    if attention.cross is not None and tokens is not None:
        x = attention.cross(x.permute(0, 2, 3, 1), tokens).permute(0, 3, 1, 2)
    return x
