"""One residual sparse block on one draw of points, and every way to run it. Not a benchmark itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from published import Density, awaken, depthwise, image_to_points, points_to_image, published_block
from torch import Tensor, nn

from infbrush_wsi.domain import Shape
from infbrush_wsi.models.infbrush.block import PointBlock
from infbrush_wsi.operators.sparse_conv import DepthwiseConv
from infbrush_wsi.operators.sparse_conv.dispatch import sparse_depthwise_conv
from infbrush_wsi.operators.sparse_conv.reference import sparse_depthwise_reference
from infbrush_wsi.points.prepare import Layout, scatter_support
from infbrush_wsi.points.samplers import make_sampler
from infbrush_wsi.points.support import ScatterSupport

CHANNELS, KERNEL, EMBEDDING, NODES = 64, 7, 256, 64
LAYOUTS = {"masked_dense": torch.contiguous_format, "masked_dense_channels_last": torch.channels_last}
"""Names of the two masked dense ways: contiguous, which is the published layout, and channels-last."""

Run = Callable[[], Tensor]


class NoConvolution(nn.Module):
    """In the place of the convolution: what is left of the block is its point-wise layers."""

    def forward(self, x: Tensor, support: ScatterSupport, residual: Tensor | None = None) -> Tensor:
        """The input, added to `residual` as `DepthwiseConv` does."""
        return x if residual is None else residual + x


class GatherConvolution(nn.Module):
    """The sparse convolution as a gather and an index_add of plain torch, autograd's gradients."""

    def __init__(self, conv: DepthwiseConv) -> None:
        super().__init__()
        self.weight, self.side = conv.weight, conv.kernel_size

    def forward(self, x: Tensor, support: ScatterSupport, residual: Tensor | None = None) -> Tensor:
        """(B, N, C) → same."""
        taps = self.weight.permute(1, 2, 0).reshape(self.side**2, -1)
        out = sparse_depthwise_reference(x.flatten(0, 1), taps, support.neighbours)
        density = support.neighbours.indptr.diff().to(x.dtype) / self.side**2
        out = (out / density[:, None]).reshape(x.shape)
        return out if residual is None else residual + out


class SpconvConvolution(nn.Module):
    """The sparse convolution by the spconv library, as a full one with a diagonal weight."""

    def __init__(self, conv: DepthwiseConv) -> None:
        super().__init__()
        self.weight, self.side = conv.weight, conv.kernel_size

    def forward(self, x: Tensor, support: ScatterSupport, residual: Tensor | None = None) -> Tensor:
        """(B, N, C) → same."""
        taps = self.weight.permute(1, 2, 0).reshape(self.side**2, -1)
        rest = None if residual is None else residual.flatten(0, 1)
        full = float(self.side**2)
        out = sparse_depthwise_conv(x.flatten(0, 1), taps, support.neighbours, "spconv", full=full, residual=rest)
        return out.reshape(x.shape)


STAND_INS = {
    "pointwise": lambda conv: NoConvolution(),
    "gather": GatherConvolution,
    "spconv": SpconvConvolution,
}
"""What takes the place of the block's convolution, by way."""


@dataclass
class Case:
    """A block with random weights and `points` points of a `side` x `side` image.

    Attributes:
        points: N.
        side: of the image in pixels.
        sampler: law of the points, see `make_sampler`.
    """

    points: int
    side: int
    sampler: str

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.shape = Shape(self.side, self.side)
        self.draw = make_sampler(self.sampler).draw(np.random.default_rng(0), self.shape, self.points)
        self.support = self.build()
        self.block = PointBlock(CHANNELS, KERNEL, EMBEDDING)
        awaken(self.block)
        self.embedding = torch.randn(1, EMBEDDING)
        self.x = torch.randn(1, self.points, CHANNELS)

    def build(self) -> ScatterSupport:
        """Neighbour map and grid weights, which all layers of a network share."""
        return scatter_support([self.draw], self.shape, Layout(KERNEL, self.side / NODES, "splat"))

    @cached_property
    def flat(self) -> Tensor:
        """(N,) row-major pixel index of each point."""
        y, x = self.draw.index_yx.astype(np.int64).T
        return torch.from_numpy(y * self.side + x)

    @cached_property
    def density(self) -> Density:
        """Of the masked dense ways."""
        return Density.of_points(self.flat, self.shape, KERNEL)

    def image(self, way: str) -> Tensor:
        """The points as a masked dense image."""
        return points_to_image(self.x[0], self.flat, self.shape, LAYOUTS[way])

    def at_points(self, out: Tensor) -> Tensor:
        """(N, C) of either kind of result."""
        return image_to_points(out, self.flat) if out.ndim == 4 else out[0]

    def model(self, way: str) -> tuple[PointBlock, Callable[[Tensor], Tensor]]:
        """The block whose weights that way uses, and the way, from its input (points or image) to its output."""
        block = self.block
        if way in LAYOUTS:
            return block, lambda x: published_block(block, x, self.density, self.embedding)
        if way in STAND_INS:
            block = copy.deepcopy(block)
            block.conv = STAND_INS[way](block.conv)  # type: ignore[no-untyped-call]
        return block, lambda x: block(x, self.support, self.embedding)

    def forward(self, way: str) -> Run:
        """One evaluation without gradients; returns the output."""
        (_, model), x = self.model(way), self.image(way) if way in LAYOUTS else self.x

        def run() -> Tensor:
            with torch.no_grad():
                return model(x)

        return run

    def train(self, way: str) -> Run:
        """One forward and backward pass, gradients of the input and of all weights; returns the input's."""
        block, model = self.model(way)
        x: Any = (self.image(way) if way in LAYOUTS else self.x.clone()).requires_grad_()

        def run() -> Tensor:
            x.grad = None
            block.zero_grad()
            out = model(x)
            out.backward(torch.ones_like(out))
            return x.grad  # type: ignore[no-any-return]

        return run

    def convolution(self, way: str) -> Run:
        """The convolution alone, density included, without gradients."""
        conv = self.block.conv
        layer: nn.Module = STAND_INS[way](conv) if way in STAND_INS else conv  # type: ignore[no-untyped-call]
        image = self.image(way) if way in LAYOUTS else None

        def run() -> Tensor:
            with torch.no_grad():
                if image is not None:
                    return depthwise(image, conv.weight) / self.density.norm
                return layer(self.x, self.support)  # type: ignore[no-any-return]

        return run
