"""Resampling without aliasing, and nonlinearities that respect it (convolutional neural operators).

A pointwise nonlinearity creates frequencies that the lattice cannot hold; they fold back and depend on the resolution.
Here it is applied on a lattice of twice the resolution, and what the original lattice cannot hold is cut off after it.
Resampling is by Fourier series (periodic), cut sharply or by a windowed sinc.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def resample(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The trigonometric interpolation of a periodic function at another number of pixel centres.

    Shrinking keeps the frequencies that the smaller lattice holds, enlarging adds none, so the two undo each other on
    functions of the smaller lattice. The Nyquist frequency of an even side is left out.

    Args:
        x: (..., H, W) values at pixel centres.
        size: rows and columns wanted.

    Returns:
        (..., *size) float32.
    """
    old = (x.shape[-2], x.shape[-1])
    if old == tuple(size):
        return x
    spectrum = torch.fft.rfft2(x.float(), norm="forward")
    my, mx = ((min(a, b) + 1) // 2 for a, b in zip(old, size, strict=True))
    rows = torch.cat([torch.arange(my), torch.arange(-(my - 1), 0)]).to(x.device)
    out = spectrum.new_zeros(*x.shape[:-2], size[0], size[1] // 2 + 1)
    # The first pixel's centre lies half a pixel from the corner on either lattice.
    shift = torch.exp(1j * torch.pi * rows * (1 / size[0] - 1 / old[0]))[:, None]
    columns = torch.arange(mx, device=x.device)
    shift = shift * torch.exp(1j * torch.pi * columns * (1 / size[1] - 1 / old[1]))
    out[..., rows % size[0], :mx] = spectrum[..., rows % old[0], :mx] * shift
    found: Tensor = torch.fft.irfft2(out, s=size, norm="forward")
    return found


class WindowedSinc(nn.Module):
    """Resampling by a factor of two with a short filter: a sinc under a Kaiser window, periodic at the border.

    Unlike the Fourier series it is local, as tiles of a large image need.

    Args:
        taps: of the filter on the finer lattice, even; more cut more sharply.
        beta: of the window; higher lets less through beyond the band and cuts less sharply.
    """

    kernel: Tensor

    def __init__(self, taps: int = 16, beta: float = 4.0) -> None:
        super().__init__()
        offset = torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2
        kernel = torch.special.sinc(offset / 2) * torch.kaiser_window(taps, False, beta, dtype=torch.float64)
        self.register_buffer("kernel", (kernel / kernel.sum()).float(), persistent=False)

    def up(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, 2H, 2W)."""
        for axis in (-2, -1):
            spread = torch.stack([2 * x, torch.zeros_like(x)], dim=axis if axis == -1 else -2)
            x = self._filtered(spread.flatten(axis - 1 if axis == -1 else -3, axis), axis)
        return x

    def down(self, x: Tensor) -> Tensor:
        """(B, C, 2H, 2W) → (B, C, H, W)."""
        for axis in (-2, -1):
            x = self._filtered(x, axis, back=True)
            x = x[..., ::2, :] if axis == -2 else x[..., ::2]
        return x

    def _filtered(self, x: Tensor, axis: int, *, back: bool = False) -> Tensor:
        """Convolution along an axis; centres of coarse pixels lie between two fine ones, which the padding settles."""
        taps = len(self.kernel)
        before = taps // 2 - 1 if back else taps // 2
        pad = [before, taps - 1 - before]
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, 1, taps)
        if axis == -2:
            padded = F.pad(x, (0, 0, *pad), mode="circular")
            return F.conv2d(padded, kernel[..., None], groups=channels)
        return F.conv2d(F.pad(x, (*pad, 0, 0), mode="circular"), kernel[:, :, None], groups=channels)


class AliasFreeActivation(nn.Module):
    """A nonlinearity at twice the resolution.

    Args:
        activation: pointwise.
        local: resample by the windowed sinc; False: by Fourier series.
    """

    def __init__(self, activation: Callable[[Tensor], Tensor] = F.gelu, *, local: bool = False) -> None:
        super().__init__()
        self.activation = activation
        self.filter = WindowedSinc() if local else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → same."""
        if self.filter is not None:
            return self.filter.down(self.activation(self.filter.up(x)))
        size = (x.shape[-2], x.shape[-1])
        return resample(self.activation(resample(x, (2 * size[0], 2 * size[1]))), size)
