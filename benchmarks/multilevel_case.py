"""A score network of Multilevel Diffusion trained on functions that are drawn on the fly, and what it is compared with.

The loop here is only the optimiser's steps: runs on sources go through `infbrush_wsi.training`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.lattice import LatticeSampler
from infbrush_wsi.diffusion.process import TRAIN_TIMESTEPS, MollifiedProcess, ProcessConfig
from infbrush_wsi.diffusion.sde import VP_SDE
from infbrush_wsi.diffusion.steps import make_scheduler, step_table
from infbrush_wsi.domain import Shape
from infbrush_wsi.fields.covariance import NoiseLaw, SpectralField
from infbrush_wsi.models.multilevel import LatticeNetwork, MultilevelDenoiser
from infbrush_wsi.phantom import GaussianMixture
from infbrush_wsi.training.curriculum import coarsening

TIMES = (50, 200, 400, 700)
"""Time steps at which errors are measured; later the answer is trivial, earlier it is the input's noise."""
HELD_OUT = 1 << 40
"""First seed of the functions that are measured on."""
NETWORKS: dict[str, dict[str, Any]] = {
    "fno": {"kind": "fno", "width": 24, "modes": 10, "layers": 3, "embedding_width": 64},
    "unet": {"kind": "unet", "width": 16, "multipliers": (1, 2), "layers": 1},
    "cno": {"kind": "cno", "width": 16, "multipliers": (1, 2), "layers": 1, "embedding_width": 64},
}


def square(side: int) -> Shape:
    return Shape(side, side)


@dataclass
class Case:
    """Data, noise and a network.

    Attributes:
        data: the law of the functions.
        law: of the noise.
        kind: of the network.
        batch: functions a step.
        rate: of Adam.
        prediction: 'epsilon' where the score is measured; 'velocity' where samples are drawn.
    """

    data: GaussianMixture
    law: NoiseLaw
    kind: str = "fno"
    batch: int = 16
    rate: float = 2e-3
    prediction: Any = "epsilon"
    seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.network: MultilevelDenoiser = MultilevelDenoiser(channels=1, **NETWORKS[self.kind])
        window = square(self.law.reference)
        sample = self.data.sample(window, HELD_OUT, 64)
        self.process = MollifiedProcess(
            ProcessConfig(
                schedule=VP_SDE,
                prediction=self.prediction,
                noise_std=self.law.variance(window) ** 0.5,
                data_std=float(sample.std()),
                data_mean=(float(sample.mean()),),
                bounded=False,
            )
        )

    def noise(self, shape: Shape, seed: int, count: int) -> Tensor:
        """(B, N, 1) draws of eta."""
        fields = (SpectralField(self.law, seed + i, 1).on_lattice(shape).reshape(-1, 1) for i in range(count))
        return torch.from_numpy(np.stack(list(fields)))

    def clean(self, shape: Shape, seed: int, count: int) -> Tensor:
        """(B, N, 1) functions."""
        return torch.from_numpy(self.data.sample(shape, seed, count).reshape(count, -1, 1))

    def train(self, side: int, steps: int, stages: Any = ()) -> Iterator[int]:
        """Optimiser steps at a window of `side` pixels; yields the number done. `seconds` is processor time."""
        optimiser = torch.optim.Adam(self.network.parameters(), self.rate)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = self.rate * min(1.0, (step + 1) / 20) * (0.5 + 0.5 * np.cos(np.pi * step / steps))
            shape = square(side // coarsening(stages, step, steps))
            clean, noise = (make(shape, step * self.batch, self.batch) for make in (self.clean, self.noise))
            timestep = torch.from_numpy(np.random.default_rng([3, step]).integers(0, TRAIN_TIMESTEPS, self.batch))
            started = time.process_time()
            target = self.process.target(clean, noise, timestep)
            loss = (self.output(shape, clean, noise, timestep) - target).square().mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            optimiser.step()
            self.seconds += time.process_time() - started
            yield step + 1

    def output(self, shape: Shape, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """What the network says of noised functions."""
        x = self.process.noised(clean, noise, timestep)
        return LatticeNetwork(self.network, shape)(self.process.network_input(x, timestep), timestep)

    @torch.no_grad()
    def score_error(self, side: int, count: int = 16) -> float:
        """Mean square of the learnt E[eta | y] minus the closed form over that of the closed form."""
        shape, wrong, size = square(side), 0.0, 0.0
        clean, noise = (make(shape, HELD_OUT + 1000, count) for make in (self.clean, self.noise))
        for step in TIMES:
            timestep = torch.full((count,), step)
            said = self.output(shape, clean, noise, timestep) * self.process.config.noise_std
            alpha = float(self.process.alphas_cumprod[step])
            y = self.process.noised(clean, noise, timestep).reshape(count, side, side).double().numpy()
            best = self.data.noise(y, alpha**0.5, 1 - alpha)
            wrong += float(((said.reshape(count, side, side).numpy() - best) ** 2).mean())
            size += float((best**2).mean())
        return wrong / size

    def samples(self, side: int, count: int, steps: int) -> np.ndarray:
        """(count, side, side) generated functions."""
        table = step_table(make_scheduler("dpmsolver++", VP_SDE), steps)
        sampler = LatticeSampler(self.network, self.process, self.law)
        made = sampler.sample(square(side), range(HELD_OUT, HELD_OUT + count), ConditionBatch.none(count), table)
        return made[..., 0].numpy()


def at_steps(case: Case, side: int, steps: int, when: set[int], measure: Callable[[], Any], stages: Any = ()) -> list:
    """Train, and measure after some numbers of steps: [(steps, seconds of training, what was measured)]."""
    return [(done, round(case.seconds, 2), measure()) for done in case.train(side, steps, stages) if done in when]
