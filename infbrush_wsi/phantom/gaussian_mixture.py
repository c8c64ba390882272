"""Two Gaussian modes on functions, whose noised score is known in closed form (Multilevel Diffusion, toy of §3.5).

``X_0 = m_k + spread eta`` with k = 0 or 1 equally often, eta ~ N(0, Q) and means ``m_k = R u_k`` for two ramps u_k, so
that they lie in the Cameron-Martin space of the noise and the modes do not become singular to each other as the lattice
gets finer. Then X_t has the modes ``N(a m_k, (a² spread² + b) Q)``, and the conditional mean of the noise, which is
what a network learns, is linear in each:

    E[eta | X_t = y] = sqrt(b) / (a² spread² + b) * sum_k p_k(y) (y - a m_k).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.fields.covariance import NoiseLaw, SpectralField, coloured

Array = NDArray[np.float64]
CHANNEL_STREAM = 7
"""Of the realisations, so that they are not the noise that they are diffused with."""


@dataclass(frozen=True)
class GaussianMixture:
    """The mixture of a noise law.

    Attributes:
        law: of eta.
        separation: length of ``R^-1 (m_1 - m_0)`` in units of the noise: how many standard deviations of eta lie
            between the means along the line that joins them.
        spread: standard deviation of a mode in units of eta.
    """

    law: NoiseLaw
    separation: float = 6.0
    spread: float = 0.5

    def __post_init__(self) -> None:
        if not (self.separation > 0 and self.spread > 0):
            raise ConfigError(
                f"a mixture needs a positive separation and spread, not {self.separation} and {self.spread}"
            )

    def means(self, shape: Shape) -> Array:
        """m_0 and m_1 on a lattice over the window: float64 (2, h, w)."""
        return coloured(self.law, self._ramps(shape)) * self.law.value_scale(shape)

    def sample(self, shape: Shape, seed: int, count: int) -> NDArray[np.float32]:
        """Independent draws of X_0.

        Args:
            shape: of the lattice.
            seed: of the first draw; draw i is one function at every resolution.
            count: of draws.

        Returns:
            Float32 (count, h, w).
        """
        fields = (
            SpectralField(self.law, seed + i, 1, stream=CHANNEL_STREAM).on_lattice(shape)[..., 0] for i in range(count)
        )
        modes = np.array([np.random.default_rng([seed + i, 1]).integers(2) for i in range(count)])
        return np.asarray(self.means(shape)[modes] + self.spread * np.stack(list(fields)), np.float32)

    def responsibilities(self, y: Array, signal: float, variance: float) -> Array:
        """Probability of each mode given X_t: (B, 2).

        Args:
            y: (B, h, w).
            signal: a.
            variance: b.
        """
        shape = Shape(*y.shape[-2:])
        ramps, scale = self._ramps(shape), self.law.white_scale(shape)
        white = coloured(self.law, y, power=-1.0) / scale
        means = signal * ramps * self.law.value_scale(shape) / scale
        total = signal**2 * self.spread**2 + variance
        distance = ((white[:, None] - means[None]) ** 2).sum(axis=(-2, -1))
        return np.asarray(special.softmax(-0.5 * distance / total, axis=1))

    def noise(self, y: Array, signal: float, variance: float) -> Array:
        """``E[eta | X_t = y]`` in closed form: float64 (B, h, w).

        Args:
            y: (B, h, w) values of X_t.
            signal: a(t).
            variance: b(t).
        """
        y = np.asarray(y, np.float64)
        p = self.responsibilities(y, signal, variance)
        mean = np.einsum("bk,khw->bhw", p, self.means(Shape(*y.shape[-2:])))
        total = signal**2 * self.spread**2 + variance
        return np.asarray(np.sqrt(variance) / total * (y - signal * mean))

    def _ramps(self, shape: Shape) -> Array:
        """u_0 and u_1: one falls along x, the other along y, around 0; (2, h, w)."""
        y, x = (0.5 - (np.arange(n) + 0.5) / n for n in shape.as_tuple())
        ramps = np.stack([np.broadcast_to(x, shape.as_tuple()), np.broadcast_to(y[:, None], shape.as_tuple())])
        # The white noise of a pixel has variance white_scale²: lengths in L2 count in units of 1 / N_ref.
        length = np.sqrt(1.0 / 6.0) * self.law.reference
        return np.asarray(ramps * self.separation / length)
