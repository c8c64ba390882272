"""Sampling Multilevel Diffusion on whole lattices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.process import MollifiedProcess
from infbrush_wsi.diffusion.sampling import Network, sample_points
from infbrush_wsi.diffusion.steps import Step
from infbrush_wsi.domain import Shape
from infbrush_wsi.fields.covariance import NoiseLaw, SpectralField
from infbrush_wsi.models.multilevel import LatticeNetwork, MultilevelDenoiser
from infbrush_wsi.models.multilevel.lattice import resampled_points

Told = Callable[[], None]


@dataclass(frozen=True)
class LatticeSampler:
    """Draws functions from a trained model at any resolution.

    Attributes:
        denoiser: the network, in evaluation mode.
        process: its diffusion process.
        law: of the noise.
    """

    denoiser: MultilevelDenoiser
    process: MollifiedProcess
    law: NoiseLaw

    @torch.no_grad()
    def sample(
        self,
        shape: Shape,
        seeds: Sequence[int],
        condition: ConditionBatch,
        steps: Sequence[Step],
        guidance_scale: float = 1.0,
        *,
        evaluated: Shape | None = None,
        extent_yx: tuple[float, float] = (1.0, 1.0),
        told: Told | None = None,
    ) -> Tensor:
        """One function for each seed.

        A seed's noise is one function at every resolution.

        Args:
            shape: of the lattice that is returned.
            seeds: B of them.
            condition: of the B functions.
            steps: of the sampler.
            guidance_scale: classifier-free guidance.
            evaluated: lattice on which the network works, whose result is then interpolated as a band-limited
                function; None: `shape`.
            extent_yx: sides of the domain in window sides.
            told: called before every evaluation of the network.

        Returns:
            (B, h, w, C) float32 on the CPU, values of the function.
        """
        inner = evaluated or shape
        network = _told(LatticeNetwork(self.denoiser, inner), told)

        def noise(stream: int) -> Tensor:
            channels = self.denoiser.config.channels
            fields = (SpectralField(self.law, seed, channels, extent_yx, stream).on_lattice(inner) for seed in seeds)
            return torch.from_numpy(np.stack([f.reshape(-1, channels) for f in fields])).to(self.denoiser.device)

        clean = sample_points(
            network,
            self.process,
            noise(0),
            condition.to(self.denoiser.device),
            steps,
            guidance_scale,
            fresh=lambda number: noise(number + 1),
        )
        clean = clean.cpu().float() / self.law.value_scale(inner, extent_yx)
        points = clean if inner == shape else resampled_points(clean, inner, shape)
        return points.reshape(len(seeds), *shape.as_tuple(), -1)


def _told(network: LatticeNetwork, told: Told | None) -> Network:
    def call(x: Tensor, timestep: Tensor, condition: ConditionBatch) -> Tensor:
        if told is not None:
            told()
        return network(x, timestep, condition)

    return call
