"""FitzHugh-Nagumo reaction and diffusion in a square with closed walls, as PDEBench's 2d_reacdiff.

    u_t = D_u Δu + u - u³ - k - v,    v_t = D_v Δv + u - v     on [-1, 1]², no flux through the walls.

Strang splitting: half a step of diffusion, exact in cosine space (the second-order Laplacian with walls is diagonal
there), a step of the reaction by Heun's method, half a step of diffusion again; second order in the time step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from infbrush_wsi.errors import ConfigError

Array = NDArray[np.float64]
SIDE = 2.0
"""Of the square."""


@dataclass(frozen=True)
class ReactionDiffusion:
    """The equation and its solver.

    Attributes:
        diffusion_u: D_u; PDEBench's values are the defaults.
        diffusion_v: D_v.
        k: of the reaction.
        step: time step.
    """

    diffusion_u: float = 1e-3
    diffusion_v: float = 5e-3
    k: float = 5e-3
    step: float = 0.01

    def __post_init__(self) -> None:
        if min(self.diffusion_u, self.diffusion_v) < 0 or not 0 < self.step <= 0.1:
            raise ConfigError(
                "reaction and diffusion: coefficients must not be negative and the step at most 0.1, "
                f"not {self.diffusion_u}, {self.diffusion_v} and {self.step}"
            )

    def solve(self, state: Array, time: float) -> Array:
        """The state after a time.

        Args:
            state: (..., 2, h, w) u and v at cell centres.
            time: not negative; rounded to whole steps.

        Returns:
            Float64 of the same shape.
        """
        values = np.array(state, np.float64)
        half = self._decay(values.shape[-2:], 0.5 * self.step)
        whole = half**2
        steps = round(time / self.step)
        if steps < 1:
            return values
        values = _diffused(values, half)
        for number in range(steps):
            values = self._reacted(values)
            values = _diffused(values, whole if number + 1 < steps else half)
        return values

    def samples(self, count: int, side: int, seed: int, time: float = 2.5) -> NDArray[np.float32]:
        """Solutions u at a time, from independent standard normals at every cell, as PDEBench begins.

        Args:
            count: of solutions.
            side: of the lattice in cells; PDEBench's is 128.
            seed: of the beginnings.
            time: PDEBench's 50th of 100 moments is 2.5.

        Returns:
            Float32 (count, side, side).
        """
        rng = np.random.default_rng(seed)
        found = [self.solve(rng.standard_normal((2, side, side)), time)[0] for _ in range(count)]
        return np.asarray(found, np.float32)

    def _reacted(self, values: Array) -> Array:
        first = self._reaction(values)
        second = self._reaction(values + self.step * first)
        return np.asarray(values + 0.5 * self.step * (first + second))

    def _reaction(self, values: Array) -> Array:
        u, v = values[..., 0, :, :], values[..., 1, :, :]
        return np.stack([u - u**3 - self.k - v, u - v], axis=-3)

    def _decay(self, shape: tuple[int, ...], time: float) -> Array:
        """Factor of each cosine mode of u and v after a time: (2, h, w)."""
        eigenvalue = sum(
            (2 * n / SIDE * np.sin(0.5 * np.pi * np.arange(n) / n)).reshape(-1, *(1,) * (1 - axis)) ** 2
            for axis, n in enumerate(shape)
        )
        return np.stack([np.exp(-d * time * eigenvalue) for d in (self.diffusion_u, self.diffusion_v)])


def _diffused(values: Array, decay: Array) -> Array:
    return np.asarray(fft.idctn(fft.dctn(values, axes=(-2, -1)) * decay, axes=(-2, -1)))
