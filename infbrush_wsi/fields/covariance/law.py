"""The law of a noise: its covariance operator, how strong it is, and which convention its values follow.

Vectors of the paper are ``h u(x_i)`` with h the pixel size: values halve when the resolution doubles, and a nonlinear
network sees inputs of another size at every level. Here values are those of the function: white noise of N pixels a
side is multiplied by N / N_ref, which is the same law. ``ortho=True`` restores
the published convention.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.fields.covariance.operators import (
    Bessel,
    Covariance,
    Pair,
    covariance_from_dict,
    covariance_to_dict,
)

WINDOW: Pair = (1.0, 1.0)
"""Extent of the training window in its own sides."""


@dataclass(frozen=True)
class NoiseLaw:
    """A Gaussian law on functions, as a model's record keeps it.

    Attributes:
        covariance: its operator.
        reference: N_ref, pixels along the side of the training window: where all conventions agree.
        std: standard deviation of a pixel of the window at N_ref; None: what the operator gives, as published.
        ortho: values are those of the function times N_ref / N, as published.

    Raises:
        ConfigError: for a value out of its range.
    """

    covariance: Covariance = field(default_factory=Bessel)
    reference: int = 64
    std: float | None = None
    ortho: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.reference <= 1 << 16:
            raise ConfigError(f"noise: reference must be 2 to 65536 pixels, not {self.reference}")
        if self.std is not None and not (math.isfinite(self.std) and self.std > 0):
            raise ConfigError(f"noise: std must be positive or None, not {self.std!r}")

    @property
    def gain(self) -> float:
        """Factor that gives pixels of the reference lattice their standard deviation."""
        if self.std is None:
            return 1.0
        return self.std / math.sqrt(self._raw_variance(Shape(self.reference, self.reference), WINDOW))

    def amplitude(self, shape: Shape, extent_yx: Pair = WINDOW) -> NDArray[np.float64]:
        """Values of r at the modes of a lattice over a periodic domain.

        Args:
            shape: rows and columns.
            extent_yx: sides of the domain in window sides.

        Returns:
            Float64 (h, w), modes in the order of ``numpy.fft.fftfreq``, `gain` included.
        """
        return self.gain * self._raw(shape, extent_yx)

    def white_scale(self, shape: Shape, extent_yx: Pair = WINDOW) -> float:
        """Standard deviation of the white noise of a pixel that R is applied to: N / N_ref, or 1 with `ortho`."""
        if self.ortho:
            return 1.0
        return math.sqrt(shape.count / (extent_yx[0] * extent_yx[1])) / self.reference

    def value_scale(self, shape: Shape, extent_yx: Pair = WINDOW) -> float:
        """Factor between values of the function and what data of a lattice are: 1, or N_ref / N with `ortho`."""
        if not self.ortho:
            return 1.0
        return self.reference / math.sqrt(shape.count / (extent_yx[0] * extent_yx[1]))

    def variance(self, shape: Shape, extent_yx: Pair = WINDOW) -> float:
        """Variance of a pixel on a lattice (closed form): the mean of r² times that of the white noise."""
        return self.gain**2 * self._raw_variance(shape, extent_yx)

    def covariance_at(self, offset_yx: NDArray[np.float64], shape: Shape, extent_yx: Pair = WINDOW) -> float:
        """Covariance of two pixels (closed form): ``white_scale² / (h w) sum_k r_k² cos(2 pi k · offset / extent)``.

        Args:
            offset_yx: (2,) in window sides, a multiple of the spacing.
            shape: of the lattice.
            extent_yx: of its domain.
        """
        phase = 2.0 * math.pi * frequencies(shape, extent_yx) @ offset_yx
        power = self.amplitude(shape, extent_yx) ** 2 * np.cos(phase)
        return float(self.white_scale(shape, extent_yx) ** 2 * power.mean())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "covariance": covariance_to_dict(self.covariance),
            "reference": self.reference,
            "std": self.std,
            "ortho": self.ortho,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NoiseLaw:
        """From `to_dict`'s values.

        Raises:
            ConfigError: if they are not valid.
        """
        try:
            return cls(**values | {"covariance": covariance_from_dict(values["covariance"])})
        except (KeyError, TypeError) as error:
            raise ConfigError(f"a noise law needs a covariance, a reference, std and ortho: {error}") from error

    def _raw(self, shape: Shape, extent_yx: Pair) -> NDArray[np.float64]:
        spacing = (extent_yx[0] / shape.h, extent_yx[1] / shape.w)
        return self.covariance.amplitude(frequencies(shape, extent_yx), spacing)

    def _raw_variance(self, shape: Shape, extent_yx: Pair) -> float:
        return float(self.white_scale(shape, extent_yx) ** 2 * (self._raw(shape, extent_yx) ** 2).mean())


def frequencies(shape: Shape, extent_yx: Pair = WINDOW) -> NDArray[np.float64]:
    """Frequencies of a lattice's modes in cycles per window side: float64 (h, w, 2), in the order of ``fftfreq``."""
    y, x = (np.fft.fftfreq(n, side / n) for n, side in zip(shape.as_tuple(), extent_yx, strict=True))
    return np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1)
