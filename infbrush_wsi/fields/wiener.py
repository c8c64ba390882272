"""The Wiener inverse of the mollifier, with finite support, so that an image can be sharpened tile by tile.

Per frequency the filter is ``g / (g**2 + inv_snr**2)``, divided by its value at 0 so that the mean is kept, where g is
the transfer function of the mollifier. We take that of a Gaussian *sampled on the pixel lattice* (the Gaussian and its
aliases), which is what :class:`~infbrush_wsi.fields.mollifier.Mollifier` applies. The closed form
``exp(-w**2 sigma**2 / 2)`` alone has a kink at the Nyquist frequency, and the ringing from that kink, not the
inversion, is what makes the inverse decay slowly: at sigma = 1, 0.76 % of the kernel's L1 mass lies outside 48
pixels with the closed form and less than 1e-6 % outside 32 pixels with the sampled Gaussian.

Measured truncation error for sigma = 1, inv_snr = 0.05 (gain 10 at most), by halo in pixels; the first column is the
largest change of the transfer function, the second the change of the sharpened T(white noise), root mean square,
relative:

    ====  =================  ==========  ==========================================
    halo  max |H_t - H|      T(white)    the same with the closed form for g
    ====  =================  ==========  ==========================================
    16    1.1e-2             4.1e-4      4.4e-1, 7.1e-4
    32    3.8e-5             1.5e-6      2.3e-1, 1.5e-4
    48    1.0e-7             3.3e-9      1.5e-1, 7.7e-5
    ====  =================  ==========  ==========================================

Content above about 2.45 / sigma rad per pixel, where g < inv_snr, stays suppressed: no inverse brings it back.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.fields._threads import default_threads, ranges, run_parts
from infbrush_wsi.fields._wiener_kernel import convolve_valid

_ROWS_PER_PART = 32


@dataclass(frozen=True)
class WienerInverse:
    """An approximate inverse of the mollifier, applied to windows that bring their own halo.

    The kernel is finite, so every output pixel depends on the pixels within :attr:`reach` of it only, and any tiling
    gives the same image (to 1e-6). At a true image border the halo is the caller's: mirror the image with the edge
    pixel repeated, ``numpy.pad(mode="symmetric")``, as the mollifier does.

    Attributes:
        sigma_px: the mollifier's sigma in pixels of the image to be sharpened (at twice the training resolution,
            twice the training sigma); at most 32.
        inv_snr: regularisation; the largest gain is ``1 / (2 inv_snr)``.
        halo: half the side of the kernel in pixels; None for ``32 * sigma_px`` (rounded up, at least 8).

    Raises:
        ConfigError: if an attribute is out of range.
    """

    sigma_px: float = 1.0
    inv_snr: float = 0.05
    halo: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.sigma_px <= 32:
            raise ConfigError(f"Wiener inverse: sigma_px must be positive and at most 32, not {self.sigma_px!r}")
        if not 1e-4 <= self.inv_snr <= 1:
            raise ConfigError(f"Wiener inverse: inv_snr must be 1e-4 to 1, not {self.inv_snr!r}")
        least = math.ceil(4 * self.sigma_px)
        if self.halo is not None and not least <= self.halo <= 4096:
            raise ConfigError(
                f"Wiener inverse: halo must be {least} (4 sigma) to 4096 pixels or None, not {self.halo!r}"
            )

    @property
    def reach(self) -> int:
        """The halo in pixels: :attr:`halo`, or the default for this sigma."""
        return max(8, math.ceil(32 * self.sigma_px)) if self.halo is None else self.halo

    @property
    def kernel(self) -> NDArray[np.float64]:
        """The filter in space: (2 * reach + 1, 2 * reach + 1) float64, symmetric, with sum 1; read-only."""
        return _kernel(self.sigma_px, self.inv_snr, self.reach)

    def transfer(self, frequency_yx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transfer function of the filter before truncation.

        Args:
            frequency_yx: (..., 2) in radians per pixel.

        Returns:
            Float64 (...), 1 at frequency 0.
        """
        w = np.asarray(frequency_yx, dtype=np.float64)
        g = _sampled_gaussian(w[..., 0], self.sigma_px) * _sampled_gaussian(w[..., 1], self.sigma_px)
        return np.asarray(_regularised(g, self.inv_snr))

    def apply(self, window: NDArray[np.float32], *, threads: int | None = None) -> NDArray[np.float32]:
        """Sharpen a window; its halo is used up.

        Args:
            window: (h + 2 * reach, w + 2 * reach, C), finite.
            threads: see :func:`infbrush_wsi.fields._threads.default_threads`.

        Returns:
            Float32 (h, w, C). The filter overshoots at edges: values may leave the range of the input a little.

        Raises:
            RegionError: if the window is no larger than its halo, or holds a value that is not finite (which would
                spread over the whole window).
        """
        values = self._checked(window)
        height, width = values.shape[:2]
        sides = (fft.next_fast_len(height, real=True), fft.next_fast_len(width, real=True))
        spectrum = _spectrum(self.sigma_px, self.inv_snr, self.reach, sides)
        out = np.empty((height - 2 * self.reach, width - 2 * self.reach, values.shape[2]), np.float32)
        with fft.set_workers(default_threads() if threads is None else threads):
            for channel in range(values.shape[2]):
                # Float64, and the circular convolution's part that saw no wrap-around.
                product = fft.rfft2(values[..., channel].astype(np.float64), s=sides) * spectrum
                full = fft.irfft2(product, s=sides)
                out[..., channel] = full[2 * self.reach : height, 2 * self.reach : width]
        return out

    def on_image(self, image: NDArray[np.float32], *, threads: int | None = None) -> NDArray[np.float32]:
        """Sharpen a whole image, continued by reflection beyond its border as :meth:`Mollifier.on_image` does.

        As a matrix it is symmetric, because the kernel is and so is the reflection.

        Args:
            image: (h, w, C), finite.
            threads: see :func:`infbrush_wsi.fields._threads.default_threads`.

        Returns:
            Float32 (h, w, C).

        Raises:
            RegionError: if the image holds a value that is not finite.
        """
        halo = (self.reach, self.reach)
        return self.apply(np.pad(image, (halo, halo, (0, 0)), mode="symmetric"), threads=threads)

    def apply_in_order(self, window: NDArray[np.float32], *, threads: int | None = None) -> NDArray[np.float32]:
        """The same as :meth:`apply` by plain sums: a pixel's bits do not depend on the window that it is read in.

        Args:
            window: (h + 2 * reach, w + 2 * reach, C), finite.
            threads: see :func:`infbrush_wsi.fields._threads.default_threads`.

        Returns:
            Float32 (h, w, C).

        Raises:
            RegionError: as :meth:`apply`.
        """
        planes = np.ascontiguousarray(self._checked(window).transpose(2, 0, 1), np.float32)
        kernel = self.kernel.astype(np.float32)
        channels, height, width = planes.shape
        out = np.empty((channels, height - 2 * self.reach, width - 2 * self.reach), np.float32)

        def fill(rows: slice) -> None:
            convolve_valid(planes[:, rows.start : rows.stop + 2 * self.reach], kernel, out[:, rows])

        run_parts(fill, ranges(out.shape[1], _ROWS_PER_PART), threads)
        return np.ascontiguousarray(out.transpose(1, 2, 0))

    def _checked(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        values = np.asarray(window)
        if values.ndim != 3 or min(values.shape[:2]) <= 2 * self.reach:
            raise RegionError(
                f"Wiener inverse: the window must have shape (h, w, C) with h and w above {2 * self.reach} "
                f"(a halo of {self.reach} pixels on every side), not {values.shape}"
            )
        if not np.isfinite(values).all():
            raise RegionError("Wiener inverse: the window holds values that are not finite; fill them first")
        return values


def _sampled_gaussian(w: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Transfer function along one axis of a unit-mass Gaussian sampled on the pixel lattice (and not truncated)."""
    offsets = np.arange(1, math.ceil(8 * sigma) + 1, dtype=np.float64)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    total = np.ones_like(w)
    for offset, weight in zip(offsets, weights, strict=True):
        total += 2.0 * weight * np.cos(offset * w)
    return np.asarray(total / (1.0 + 2.0 * weights.sum()))


def _regularised(g: NDArray[np.float64], inv_snr: float) -> NDArray[np.float64]:
    return np.asarray(g / (g**2 + inv_snr**2) * (1.0 + inv_snr**2))


@functools.lru_cache(maxsize=8)
def _kernel(sigma: float, inv_snr: float, halo: int) -> NDArray[np.float64]:
    """Inverse transform on a grid twice the kernel's side, tapered over its outer half and renormalised."""
    side = fft.next_fast_len(2 * (2 * halo + 1), real=True)
    w = 2.0 * np.pi * fft.fftfreq(side)
    g = _sampled_gaussian(w, sigma)
    full = fft.irfft2(_regularised(g[:, None] * g[None, : side // 2 + 1], inv_snr), s=(side, side))
    offsets = np.arange(-halo, halo + 1)
    outer = np.clip((np.abs(offsets) - 0.5 * halo) / (0.5 * halo + 1.0), 0.0, 1.0)
    taper = np.cos(0.5 * np.pi * outer) ** 2
    kernel = full[np.ix_(offsets % side, offsets % side)] * taper[:, None] * taper[None, :]
    kernel /= kernel.sum()
    kernel.flags.writeable = False
    return np.asarray(kernel)


@functools.lru_cache(maxsize=8)
def _spectrum(sigma: float, inv_snr: float, halo: int, sides: tuple[int, int]) -> NDArray[np.complex128]:
    return np.asarray(fft.rfft2(_kernel(sigma, inv_snr, halo), s=sides))
