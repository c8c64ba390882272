"""A network on lattices as a function of points, which is what processes and samplers work with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.domain import Shape
from infbrush_wsi.models.multilevel.denoiser import MultilevelDenoiser
from infbrush_wsi.operators.alias_free import resample


@dataclass(frozen=True)
class LatticeNetwork:
    """Calls a denoiser on the points of a lattice, row by row.

    Attributes:
        denoiser: the network, or what wraps it for several processes.
        shape: of the lattice.
    """

    denoiser: MultilevelDenoiser
    shape: Shape

    def __call__(self, x: Tensor, timestep: Tensor, condition: ConditionBatch | None = None) -> Tensor:
        """(B, H W, C) → (B, H W, C)."""
        batch, count, channels = x.shape
        planes = x.transpose(1, 2).reshape(batch, channels, *self.shape.as_tuple())
        out: Tensor = self.denoiser(planes, timestep, condition)
        return out.reshape(batch, channels, count).transpose(1, 2)


def resampled_points(values: Tensor, old: Shape, new: Shape) -> Tensor:
    """Values (B, old, C) of a band-limited function at the points of another lattice: (B, new, C)."""
    batch, _, channels = values.shape
    planes = values.transpose(1, 2).reshape(batch, channels, *old.as_tuple())
    return resample(planes, new.as_tuple()).flatten(2).transpose(1, 2)
