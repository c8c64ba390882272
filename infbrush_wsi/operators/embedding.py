"""Fourier features of coordinates: where a point is, in its grid cell or in the whole extent."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from infbrush_wsi.points.support import Support

Position = Literal["cell", "extent", "none"]

CELL_OCTAVES = 2
EXTENT_OCTAVES = 10


class PositionFeatures(nn.Module):
    """``sin, cos(2π 2^k u)`` of a coordinate u per axis.

    'cell': u is the coordinate in units of grid cells, so the features say where a point lies between its nodes and are
    the same on a canvas of any size; between the centres of training pixels they are interpolated. 'extent': u is the
    coordinate as a part of the extent, half a period over it in the lowest octave; for images with an absolute layout
    (faces), and what ∞-Brush embeds; it stretches with the canvas. 'none': nothing.

    Args:
        kind: which.
    """

    def __init__(self, kind: Position) -> None:
        super().__init__()
        self.kind = kind
        self.octaves = {"cell": CELL_OCTAVES, "extent": EXTENT_OCTAVES, "none": 0}[kind]

    @property
    def width(self) -> int:
        """Number of features of a point."""
        return 4 * self.octaves

    def forward(self, support: Support) -> Tensor:
        """(B or 1, N, width) float32."""
        coords = support.coords
        if self.kind == "extent":
            return self._features(0.5 * coords / torch.tensor(support.extent, device=coords.device, dtype=coords.dtype))
        # In training points are pixel centres, where some of the octaves are constant and others zero. Between the
        # centres nothing was learnt of them: without interpolation they draw the grid into canvases of finer pixels.
        before = (coords - 0.5).floor() + 0.5
        share = torch.cat([(coords - before).repeat_interleave(self.octaves, dim=-1)] * 2, dim=-1)
        one, two = (self._features(at / support.grid.pitch) for at in (before, before + 1.0))
        return one + share * (two - one)

    def _features(self, unit: Tensor) -> Tensor:
        scales = 2.0 * math.pi * 2.0 ** torch.arange(self.octaves, device=unit.device, dtype=unit.dtype)
        angle = (unit[..., None] * scales).flatten(-2)
        return torch.cat([angle.sin(), angle.cos()], dim=-1)
