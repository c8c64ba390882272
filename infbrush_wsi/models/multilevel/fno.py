"""The Fourier neural operator as a score network (Multilevel Diffusion §3.5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infbrush_wsi.operators.fourier import SpectralConv2d

HEAD_WIDTH = 128


class FourierBody(nn.Module):
    """(u, x, y, t) → width; `layers` of spectral and 1x1 convolution with GELU between; → 128, GELU → channels.

    One set of weights acts on any lattice over the same domain. The published network is told time by a constant
    channel only; here the embedding of time and condition is added in every layer too, if there is one.

    Args:
        channels: of the function.
        width: of the layers, published 32.
        modes: of the spectral convolutions along each axis, published 14 (12 for reaction and diffusion).
        layers: published 4.
        embedding: width of the embedding; 0: none, as published.
    """

    def __init__(self, channels: int, width: int, modes: int, layers: int, embedding: int) -> None:
        super().__init__()
        self.lift = nn.Conv2d(channels + 3, width, 1)
        self.spectral = nn.ModuleList(SpectralConv2d(width, width, (modes, modes)) for _ in range(layers))
        self.pointwise = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(layers))
        self.shift = nn.ModuleList(nn.Linear(embedding, width) if embedding else nn.Identity() for _ in range(layers))
        self.modulated = embedding > 0
        self.widen = nn.Conv2d(width, HEAD_WIDTH, 1)
        self.head = nn.Conv2d(HEAD_WIDTH, channels, 1)

    def forward(self, x: Tensor, time: Tensor, embedding: Tensor) -> Tensor:
        """(B, C, H, W), times (B,) in (0, 1], (B, E) → (B, C, H, W)."""
        batch, _, height, width = x.shape
        rows, columns = ((torch.arange(n, device=x.device, dtype=x.dtype) + 0.5) / n for n in (height, width))
        place = torch.stack(torch.meshgrid(columns, rows, indexing="xy")).expand(batch, -1, -1, -1)
        moment = time.to(x.dtype)[:, None, None, None].expand(batch, 1, height, width)
        x = self.lift(torch.cat([x, place, moment], dim=1))
        for number, (spectral, pointwise, shift) in enumerate(
            zip(self.spectral, self.pointwise, self.shift, strict=True)
        ):
            x = spectral(x) + pointwise(x)
            if self.modulated:
                x = x + shift(embedding)[:, :, None, None]
            x = F.gelu(x) if number + 1 < len(self.spectral) else x
        return self.head(F.gelu(self.widen(x)))  # type: ignore[no-any-return]
