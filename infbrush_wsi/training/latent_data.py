"""Batches of latents: item k is a pure function of (latents, seed, k), as in `training.dataset`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from infbrush_wsi.diffusion.process import TRAIN_TIMESTEPS
from infbrush_wsi.points.support import map_tensors

LATENT_STREAM = 2
"""`FunctionDataset` takes 0 and 1 of the run's seed."""


@dataclass(frozen=True)
class LatentBatch:
    """B encoded windows with their noise.

    Attributes:
        latent: (B, D) float32, as encoded.
        noise: (B, D) float32 of unit variance.
        timestep: (B,) int64.
    """

    latent: Tensor
    noise: Tensor
    timestep: Tensor

    @property
    def origin(self) -> tuple[str, ...]:
        """See `training.task.Batch`."""
        return ("encoded training windows",)

    def to(self, device: torch.device | str) -> LatentBatch:
        """The same on another device."""
        return map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> LatentBatch:
        """The same in page-locked memory."""
        return map_tensors(self, Tensor.pin_memory)


class LatentDataset(Dataset[LatentBatch]):
    """Item k is the batch of optimiser step k of this process.

    Args:
        latents: (M, D) encoded windows.
        batch: images per process and step.
        seed: of the run.
        rank: of this process.
        world: number of processes.
    """

    def __init__(self, latents: Tensor, batch: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.latents, self.batch, self.seed, self.rank, self.world = latents, batch, seed, rank, world

    def __getitem__(self, step: int) -> LatentBatch:
        """The batch of a step."""
        rng, chosen = self._drawn(step)
        count, mine = self.batch * self.world, slice(self.rank * self.batch, (self.rank + 1) * self.batch)
        timestep = torch.from_numpy(rng.integers(TRAIN_TIMESTEPS, size=count)[mine])
        noise = rng.standard_normal((count, self.latents.shape[1]), np.float32)[mine]
        return LatentBatch(self.latents[chosen], torch.from_numpy(noise), timestep)

    def places(self, step: int) -> list[str]:
        """Which latents a step's batch holds."""
        return [f"encoded window {number}" for number in self._drawn(step)[1].tolist()]

    def _drawn(self, step: int) -> tuple[np.random.Generator, Tensor]:
        """Random numbers of a step, and the first of them: which latents this process takes."""
        rng = np.random.default_rng([self.seed, LATENT_STREAM, step])
        chosen = rng.integers(len(self.latents), size=self.batch * self.world)
        return rng, torch.from_numpy(chosen[self.rank * self.batch : (self.rank + 1) * self.batch])
