"""Training of ∞-Brush: the loss on coloured noise at random points."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from infbrush_wsi.diffusion.loss import point_loss
from infbrush_wsi.diffusion.process import MollifiedProcess
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.training.batch import TrainBatch
from infbrush_wsi.training.build import TrainingData, build_dataset, build_denoiser, build_process, model_info
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.memory import recomputed_layers
from infbrush_wsi.training.preview import preview_sheet
from infbrush_wsi.training.statistics import measured_once
from infbrush_wsi.training.task import Assembly

LEARNING_RATES = {"tiny": 1e-3, "small": 2e-4, "paper": 5e-5}


class InfBrushTask:
    """The denoiser of ∞-Brush as a `training.task.Task`.

    Args:
        config: of the run.
        denoiser: fresh network.
        process: diffusion process with the data's statistics.
        info: facts of the model to save.
    """

    def __init__(
        self, config: RunConfig, denoiser: InfBrushDenoiser, process: MollifiedProcess, info: ModelInfo
    ) -> None:
        self.config, self.denoiser, self.process, self.info = config, denoiser, process, info
        self.network: nn.Module = denoiser
        self.learning_rate = LEARNING_RATES.get(config.model.preset, 5e-5)

    def prepare(self) -> None:
        """Plan which layers recompute, and compile them if the run asks for it."""
        self.denoiser.recomputed_layers = recomputed_layers(self.config, self.denoiser)
        if self.config.optim.compile:
            self.denoiser.compile_layers()

    def losses(self, network: nn.Module, batch: TrainBatch) -> Tensor:
        """Weighted squared error of the network's output at the points of each image, (B,) [∞-Brush §2.1]."""
        x = self.process.noised(batch.clean, batch.noise, batch.timestep)
        target = self.process.target(batch.clean, batch.noise, batch.timestep)
        given = self.process.network_input(x, batch.timestep)
        losses = point_loss(self.output(network, given, batch), target, batch.weight)
        gamma = self.config.optim.snr_gamma
        return losses if gamma is None else losses * self.process.min_snr_weight(batch.timestep, gamma)

    def output(self, network: nn.Module, given: Tensor, batch: TrainBatch) -> Tensor:
        """What the network makes of a batch with these inputs, (B, N, C)."""
        return cast(Tensor, network(given, batch.support, batch.timestep, batch.condition, batch.log_magnification))

    def preview(self, averaged: nn.Module, steps: int, side: int | None) -> NDArray[np.uint8]:
        """Two samples of each class."""
        side = side or self.config.data.window
        return preview_sheet(cast(InfBrushDenoiser, averaged), self.process, self.info.sigma, side, steps)

    def save(self, directory: Path, averaged: nn.Module, training: dict[str, Any]) -> None:
        """Write the model directory."""
        ModelBundle.save(directory, {"denoiser": averaged}, self.info.with_training(training))

    def load(self, directory: Path) -> ModelBundle:
        """Read the model directory."""
        return ModelBundle.load(directory, {"denoiser": InfBrushDenoiser})


def assemble(config: RunConfig, data: TrainingData, facts: dict[str, Any], rank: int, world: int) -> Assembly:
    """The parts of a run of ∞-Brush, see `training.task.Assemble`."""
    denoiser = build_denoiser(config, data)
    dataset = build_dataset(config, data, denoiser, rank, world)
    statistics, facts = measured_once(facts, lambda: build_dataset(config, data, denoiser))
    process = build_process(config, statistics)
    return Assembly(InfBrushTask(config, denoiser, process, model_info(config, data, process)), dataset, facts)
