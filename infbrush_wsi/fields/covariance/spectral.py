"""Gaussian functions on a bounded, periodic domain, by FFT.

In the Hartley basis ``cas(2 pi k · x / E) = cos + sin``, orthonormal in L2 of the domain, white noise is one
independent normal for every mode k:

    eta(x) = gain / (N_ref sqrt(|E|)) * sum_k r(k / E) g_k cas(2 pi k · x / E).

The normals come from the counter-based generator of :class:`~infbrush_wsi.fields.noise.NoiseField`, keyed by the mode.
So one seed is one function: a finer lattice adds modes and keeps those of the coarser one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import RegionError
from infbrush_wsi.fields.covariance.law import WINDOW, NoiseLaw
from infbrush_wsi.fields.covariance.operators import Pair
from infbrush_wsi.fields.noise import NoiseField


@dataclass(frozen=True)
class SpectralField:
    """A realisation of a `NoiseLaw` on a periodic domain.

    Attributes:
        law: of the noise.
        seed: which realisation, a whole number of 64 bits.
        channels: independent components.
        extent_yx: sides of the domain in window sides.
        stream: independent noise of one seed (step of a sampler).

    Raises:
        ConfigError: if seed, channels or stream are out of range.
        RegionError: if the extent is not positive.
    """

    law: NoiseLaw
    seed: int
    channels: int
    extent_yx: Pair = WINDOW
    stream: int = 0

    def __post_init__(self) -> None:
        self._normals()
        if not all(math.isfinite(side) and side > 0 for side in self.extent_yx):
            raise RegionError(f"noise: the domain needs positive sides, not {self.extent_yx}")

    def on_lattice(self, shape: Shape) -> NDArray[np.float32]:
        """The function at the pixel centres of the whole domain, cut into `shape` pixels.

        Returns:
            Float32 (h, w, channels).

        Raises:
            RegionError: if the lattice is empty.
        """
        if min(shape.as_tuple()) < 1:
            raise RegionError(f"noise: a lattice needs a positive number of rows and columns, not {shape}")
        box = Box(-(shape.w // 2), -(shape.h // 2), shape.w, shape.h)
        normals = np.fft.ifftshift(self._normals().white(box).astype(np.float64), axes=(0, 1))
        # cas(a) is the real part of (1 - i) exp(i a); the phase moves the first pixel's centre off the corner.
        y, x = (np.fft.fftfreq(n) for n in shape.as_tuple())
        phase = np.exp(1j * math.pi * (y[:, None] + x[None, :]))
        weight = self.law.amplitude(shape, self.extent_yx) * phase * (1 - 1j)
        values = fft.ifft2(normals * weight[..., None], axes=(0, 1)).real
        scale = self.law.white_scale(shape, self.extent_yx) * math.sqrt(shape.count)
        return np.asarray(scale * values, np.float32)

    def _normals(self) -> NoiseField:
        return NoiseField(self.seed, self.channels, stream=self.stream)


def coloured(
    law: NoiseLaw, values: NDArray[np.floating], extent_yx: Pair = WINDOW, power: float = 1.0
) -> NDArray[np.float64]:
    """``R^power`` of a function on a lattice: 1 colours it, -1 undoes that, 2 is the covariance operator Q.

    Args:
        law: of the noise; `gain` is part of R, the scale of white noise is not.
        values: (..., h, w).
        extent_yx: of the domain.
        power: of R; modes where R vanishes stay zero.

    Returns:
        Float64 of the same shape.
    """
    shape = Shape(*values.shape[-2:])
    r = law.amplitude(shape, extent_yx)[:, : shape.w // 2 + 1]
    factor = np.zeros_like(r)
    np.power(r, power, out=factor, where=r > 0)
    return np.asarray(fft.irfft2(fft.rfft2(np.asarray(values, np.float64)) * factor, s=shape.as_tuple()))
