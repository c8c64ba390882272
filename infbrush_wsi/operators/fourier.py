"""Convolution by multiplication in Fourier space (FNO; Multilevel Diffusion §3.5).

The transform is scaled so that coefficients are those of the function, not of the lattice: the same weights act on the
same modes at every resolution, and a function whose modes all fit gives the same output to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infbrush_wsi.errors import ConfigError


class SpectralConv2d(nn.Module):
    """A complex matrix over the channels at each low frequency, nothing above.

    The domain is taken as periodic, and its modes are counted over its whole extent.

    Args:
        inputs: channels in.
        outputs: channels out.
        modes: frequencies along y and x that are kept: those below this number by their absolute value.
    """

    def __init__(self, inputs: int, outputs: int, modes: tuple[int, int]) -> None:
        super().__init__()
        if min(modes) < 1:
            raise ConfigError(f"a spectral convolution needs at least one mode along each axis, not {modes}")
        self.modes = (int(modes[0]), int(modes[1]))
        # Real and imaginary parts side by side: checkpoints and optimisers know no complex numbers.
        shape = (2 * self.modes[0] - 1, self.modes[1], inputs, outputs, 2)
        self.weight = nn.Parameter(torch.rand(shape) / (inputs * outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H, W), in float32."""
        height, width = x.shape[-2:]
        spectrum = torch.fft.rfft2(x.float(), norm="forward")
        my, mx = min(self.modes[0], (height + 1) // 2), min(self.modes[1], (width + 1) // 2)
        weight = torch.view_as_complex(self.weight)
        # Rows of the weights are frequencies 0, 1, ..., m - 1, -(m - 1), ..., -1, as those of the spectrum are.
        rows = torch.cat([torch.arange(my), torch.arange(-(my - 1), 0)]).to(x.device)
        low = spectrum[:, :, rows % height, :mx]
        mixed = torch.einsum("bikl,klio->bokl", low, weight[rows % len(weight), :mx])
        out = spectrum.new_zeros(len(x), weight.shape[-1], height, width // 2 + 1)
        out[:, :, rows % height, :mx] = mixed
        found: Tensor = torch.fft.irfft2(out, s=(height, width), norm="forward")
        return found
