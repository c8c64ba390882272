"""There and back: sampling from the inverted noise gives the image again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.inversion import invert
from infbrush_wsi.diffusion.process import MollifiedProcess, ProcessConfig
from infbrush_wsi.diffusion.sampling import sample_points
from infbrush_wsi.diffusion.steps import make_scheduler, step_table
from infbrush_wsi.errors import ConfigError

NONE = ConditionBatch.none(1)
PROCESS = MollifiedProcess(ProcessConfig(data_std=0.3, data_mean=(0.0, 0.0, 0.0), scale_input=False))


def gaussian_network(x: Tensor, timestep: Tensor, condition: ConditionBatch) -> Tensor:
    """The best denoiser of independent Gaussian values of standard deviation 0.3 in noise of 0.28."""
    signal, sigma = PROCESS.signal_noise(timestep)
    data, noise = 0.3**2, PROCESS.config.noise_std**2
    clean = signal * data / (signal**2 * data + sigma**2 * noise) * x
    return PROCESS.target(clean, (x - signal * clean) / sigma, timestep)


def table(steps: int, first: int = 0):
    return step_table(make_scheduler("ddim", PROCESS.config.schedule), steps, first=first)


@pytest.mark.parametrize("first", [0, 6])
def test_there_and_back_of_a_known_distribution(first: int) -> None:
    clean = 0.3 * torch.randn(1, 500, 3, generator=torch.Generator().manual_seed(0)).clamp(-2.5, 2.5)
    steps = table(20, first)
    noise = invert(gaussian_network, PROCESS, clean, NONE, steps)
    back = sample_points(gaussian_network, PROCESS, noise, NONE, steps)
    assert float((back - clean).square().mean().sqrt()) < 1e-4
    # Along the flow of a Gaussian each value keeps its place among them: at T it is noise of the noise's deviation.
    signal, sigma = (float(v) for v in PROCESS.signal_noise(torch.tensor([steps[0].timestep])))
    wanted = (signal**2 * 0.3**2 + sigma**2 * PROCESS.config.noise_std**2) ** 0.5
    assert float(noise.std()) == pytest.approx(wanted * float(clean.std()) / 0.3, rel=0.1)
    assert float(torch.corrcoef(torch.stack([noise.flatten(), clean.flatten()]))[0, 1]) > 0.999


def test_more_rounds_come_back_nearer(make_pipeline) -> None:
    from infbrush_wsi.domain import Box, Shape
    from infbrush_wsi.points.grid import GridGeometry
    from infbrush_wsi.points.support import LatticeSupport

    pipe = make_pipeline()
    box = Box(0, 0, 16, 16)
    support = LatticeSupport(box, box, Shape(16, 16), 1.0, GridGeometry.covering(16, 16, 4.0))

    def network(x: Tensor, timestep: Tensor, condition: ConditionBatch) -> Tensor:
        return 0.3 * pipe.denoiser(x, support, timestep, condition)

    clean = 0.2 * torch.randn(1, 256, 3, generator=torch.Generator().manual_seed(0))
    steps = table(10, first=2)
    off = {}
    for rounds in (1, 3, 6):
        with torch.no_grad():
            noise = invert(network, pipe.process, clean, NONE, steps, rounds=rounds)
            back = sample_points(network, pipe.process, noise, NONE, steps)
        off[rounds] = float((back - clean).square().mean().sqrt())
    assert off[6] < 0.5 * off[3] < 0.25 * off[1]
    assert off[6] < 1e-2


@pytest.mark.parametrize("how", [("dpmsolver++", 0.0), ("ddim", 0.5)])
def test_other_steps_are_refused(how: tuple[str, float]) -> None:
    steps = step_table(make_scheduler(how[0], PROCESS.config.schedule), 4, how[1])
    with pytest.raises(ConfigError, match="DDIM with eta=0"):
        invert(gaussian_network, PROCESS, torch.zeros(1, 4, 3), NONE, steps)
