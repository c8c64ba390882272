"""The Bessel operator's noise on the whole plane: a sum of Gaussian fields of many scales.

By the Gamma integral its spectrum is a mixture of those of Gaussian averages,

    (shift + |2 pi f|²)^(-s) = 1 / Gamma(s) * ∫ τ^(s - 1) exp(-shift τ) exp(-|2 pi f|² τ) dτ,    s = 2 exponent,

and a field of :class:`~infbrush_wsi.fields.noise.NoiseField` with standard deviation sigma has the spectrum
``4 pi sigma² std² exp(-|2 pi f|² sigma²)``. The integral over log τ is a sum over scales in steps of sqrt(2) (midpoint
rule). Each scale has a lattice of its own pitch, so all cost the same, and the field can
be evaluated anywhere, in any order, on any machine.

Scales below `finest` are left out: what they add is white at the resolution of the lattice, and with the published
exponent 0.55, which is hardly above 1/2, that is a large part of the variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.fields.covariance.law import NoiseLaw
from infbrush_wsi.fields.covariance.operators import Bessel
from infbrush_wsi.fields.noise import NoiseField

STEP = math.sqrt(2.0)
TAIL = 30.0
"""Largest ``shift * τ``: the integrand is below exp(-30) beyond."""
FIRST_STREAM = 1 << 16
"""Streams of the scales do not meet those of a sampler's steps."""


@dataclass(frozen=True)
class ScaleMixture:
    """A realisation of the Bessel law on the plane.

    Attributes:
        law: with a `Bessel` operator (continuous symbol); `ortho` has no meaning on the plane.
        seed: which realisation.
        channels: independent components.
        finest: standard deviation of the smallest scale in window sides; None: a quarter of a pixel of the reference
            lattice, which halves the spectrum near its Nyquist frequency.
        stream: independent noise of one seed, below 1024.

    Raises:
        ConfigError: for another operator, or a value out of range.
    """

    law: NoiseLaw
    seed: int
    channels: int
    finest: float | None = None
    stream: int = 0

    def __post_init__(self) -> None:
        covariance = self.law.covariance
        if not isinstance(covariance, Bessel) or covariance.symbol != "continuous" or self.law.ortho:
            raise ConfigError(
                "noise on the whole plane needs a 'bessel' covariance with symbol='continuous' and ortho=False; "
                "other operators are for bounded domains"
            )
        if not 1e-6 <= self.smallest <= 1:
            raise ConfigError(f"noise: finest must be 1e-6 to 1 window sides or None, not {self.finest!r}")
        if not 0 <= self.stream < 1024:
            raise ConfigError(f"noise: stream must be a whole number from 0 to 1023, not {self.stream!r}")

    @property
    def smallest(self) -> float:
        """Standard deviation of the smallest scale in window sides."""
        return 0.25 / self.law.reference if self.finest is None else self.finest

    @property
    def scales(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Standard deviations of the averages in window sides, and the standard deviation of the field of each."""
        bessel = self._bessel
        first, last = self.smallest, math.sqrt(TAIL / bessel.shift)
        count = max(1, math.ceil(math.log(last / first) / math.log(STEP)))
        # Midpoints of steps in log τ: the mixture begins at `smallest` sharply.
        sigma = first * STEP ** (np.arange(count) + 0.5)
        tau, order = sigma**2, 2.0 * bessel.exponent
        density = tau**order * np.exp(-bessel.shift * tau) / special.gamma(order) * 2.0 * math.log(STEP)
        variance = (self.law.gain * bessel.scale / self.law.reference) ** 2 * density / (4.0 * math.pi * tau)
        return np.asarray(sigma, np.float64), np.asarray(np.sqrt(variance), np.float64)

    @property
    def std(self) -> float:
        """Standard deviation of the field at every point."""
        return float(np.sqrt((self.scales[1] ** 2).sum()))

    def covariance(self, distance: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Covariance of two values of a channel at a distance in window sides (closed form)."""
        sigma, std = self.scales
        d = np.asarray(distance, np.float64)[..., None]
        return np.asarray((std**2 * np.exp(-(d**2) / (4.0 * sigma**2))).sum(axis=-1))

    def spectrum(self, frequency: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Spectral density at a frequency in cycles per window side (closed form): r² / N_ref² of the scales kept."""
        sigma, std = self.scales
        w = 2.0 * math.pi * np.asarray(frequency, np.float64)[..., None]
        return np.asarray((4.0 * math.pi * sigma**2 * std**2 * np.exp(-(w**2) * sigma**2)).sum(axis=-1))

    def at(self, points_yx: NDArray[np.float64], *, threads: int | None = None) -> NDArray[np.float32]:
        """The field at any points.

        Args:
            points_yx: (N, 2) in window sides.
            threads: see :func:`infbrush_wsi.fields._threads.default_threads`.

        Returns:
            Float32 (N, channels).

        Raises:
            SamplingError: if the shape is wrong or a coordinate is not finite or too far away.
        """
        points = np.asarray(points_yx, np.float64)
        parts = ((part.at(points / sigma, threads=threads)) for sigma, part in self._parts())
        return self._summed(parts)

    def on_lattice(
        self, shape: Shape, spacing: float, first_yx: tuple[int, int] = (0, 0), *, threads: int | None = None
    ) -> NDArray[np.float32]:
        """The field at the pixel centres ``spacing * (first + index + 0.5)``.

        Args:
            shape: rows and columns.
            spacing: of the pixels in window sides.
            first_yx: row and column at which the lattice begins.
            threads: see :func:`infbrush_wsi.fields._threads.default_threads`.

        Returns:
            Float32 (h, w, channels).

        Raises:
            RegionError: if the lattice makes no sense or leaves the plane.
        """
        parts = (
            part.on_lattice((0.0, 0.0), spacing / sigma, shape, first_yx=first_yx, threads=threads)
            for sigma, part in self._parts()
        )
        return self._summed(parts)

    @property
    def _bessel(self) -> Bessel:
        assert isinstance(self.law.covariance, Bessel)  # noqa: S101
        return self.law.covariance

    def _parts(self) -> list[tuple[float, NoiseField]]:
        """Each scale's standard deviation and its field on a lattice of that pitch."""
        found = []
        for number, (sigma, std) in enumerate(zip(*self.scales, strict=True)):
            stream = FIRST_STREAM + 64 * self.stream + number
            found.append((float(sigma), NoiseField(self.seed, self.channels, std=float(std), stream=stream)))
        return found

    @staticmethod
    def _summed(parts: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        """The sum in float64 in the order of the scales, so that its bits do not depend on the points' company."""
        total: NDArray[np.float64] | None = None
        for part in parts:
            total = part.astype(np.float64) if total is None else total + part
        assert total is not None  # noqa: S101
        return total.astype(np.float32)
