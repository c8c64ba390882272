"""What makes the pixels of a canvas: network, process, noise, conditions and the guidance between them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infbrush_wsi.canvas.spec import CanvasSpec
from infbrush_wsi.conditioning.condition import ConditionBatch

if TYPE_CHECKING:
    from infbrush_wsi.conditioning.layout import Layout
from infbrush_wsi.diffusion.guidance import guided
from infbrush_wsi.diffusion.process import MollifiedProcess
from infbrush_wsi.diffusion.steps import Step, make_scheduler, step_table
from infbrush_wsi.fields.noise import NoiseField
from infbrush_wsi.operators.barrier import Program
from infbrush_wsi.points.samplers import CoordinateSampler
from infbrush_wsi.points.support import Support

STREAMS_PER_STAGE = 1 << 16


@dataclass(frozen=True)
class Mixture:
    """The conditions that are present at some points, and how much of each.

    Attributes:
        present: (K,) indices of the layout's conditions.
        weights: (N, K) float32, sums to one; None where there is only one.
    """

    present: tuple[int, ...]
    weights: Tensor | None = None

    def mixed(self, outputs: Tensor) -> Tensor:
        """(K, N, C) outputs under each condition → (1, N, C)."""
        if self.weights is None:
            return outputs
        return torch.einsum("knc,nk->nc", outputs, self.weights.to(outputs))[None]


@dataclass(frozen=True)
class Generator:
    """A trained model with the settings of one generation.

    Attributes:
        denoiser: the network, in evaluation mode.
        process: its diffusion process.
        spec: the generation.
        conditions: one row for each condition of the layout, or the only one.
        sigma: standard deviation of the noise field in training pixels.
        sampler: draws the points of a plan, as in training.
        density: points per training pixel in training, at most one.
        layout: which condition is where; None: the same everywhere.
    """

    denoiser: Any
    process: MollifiedProcess
    spec: CanvasSpec
    conditions: ConditionBatch
    sigma: float
    sampler: CoordinateSampler
    density: float
    layout: Layout | None = None

    @cached_property
    def table(self) -> list[Step]:
        """The sampler's steps."""
        scheduler = make_scheduler(self.spec.scheduler, self.process.config.schedule)
        return step_table(scheduler, self.spec.steps, self.spec.eta)

    @property
    def guided(self) -> bool:
        """Whether an unconditional copy runs beside the conditions."""
        return self.spec.guidance_scale != 1.0

    @property
    def channels(self) -> int:
        """Bands of the image."""
        return int(self.denoiser.config.channels)

    @property
    def pitch(self) -> float:
        """Side of a grid cell in training pixels."""
        return float(self.denoiser.config.grid_pitch)

    def noise(self, stage: int, number: int) -> NoiseField:
        """The noise of a stage: number 0 is where it starts, k + 1 what step k adds."""
        return NoiseField(self.spec.seed, self.channels, sigma=self.sigma, stream=stage * STREAMS_PER_STAGE + number)

    def mixture_at(self, yx: NDArray[np.float64]) -> Mixture:
        """Conditions at points (N, 2) in units of the canvas from its top left corner."""
        if self.layout is None:
            return Mixture((0,))
        return _mixture(*self.layout.weights_at(yx))

    def mixture_on(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> Mixture:
        """Conditions on rows and columns at these coordinates (units of the canvas), row-major."""
        if self.layout is None:
            return Mixture((0,))
        present, weights = self.layout.weights(y, x)
        return _mixture(present, weights.reshape(-1, len(present)))

    def rows(self, mixture: Mixture) -> ConditionBatch:
        """The batch of a mixture: its conditions, and the unconditional one under guidance."""
        batch = self.conditions.select(mixture.present)
        batch = batch.and_unconditional() if self.guided else batch
        return batch.to(self.denoiser.device)

    def program(
        self, x: Tensor, support: Support, step: Step, rows: ConditionBatch, log_magnification: float
    ) -> Program:
        """The network on (1, N, C) noisy values, as many times as there are rows."""
        copies, device = len(rows.null), self.denoiser.device
        timestep = torch.tensor([step.timestep], device=device)
        scaled = self.process.network_input(x.to(device), timestep).expand(copies, -1, -1)
        magnification = torch.full((copies,), log_magnification, device=device)
        program: Program = self.denoiser.program(scaled, support, timestep.expand(copies), rows, magnification)
        return program

    def clean(self, x: Tensor, output: Tensor, step: Step, mixture: Mixture) -> Tensor:
        """T x̂_0 (1, N, C) from the state and the network's outputs for the rows of the mixture."""
        output = output.float().cpu()
        if self.guided:
            output = guided(torch.cat([mixture.mixed(output[:-1]), output[-1:]]), self.spec.guidance_scale)
        else:
            output = mixture.mixed(output)
        return self.process.clean(x, output, torch.tensor([step.timestep]))

    def precision(self) -> Any:
        """Context in which the network runs."""
        return running_in(self.spec.precision, self.denoiser.device)


def running_in(precision: str, device: torch.device) -> Any:
    """Context in which a network runs in a precision of `CanvasSpec`."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))


def _mixture(present: NDArray[np.int32], weights: NDArray[np.float32]) -> Mixture:
    if len(present) == 1:
        return Mixture((int(present[0]),))
    return Mixture(tuple(int(i) for i in present), torch.from_numpy(np.ascontiguousarray(weights)))
