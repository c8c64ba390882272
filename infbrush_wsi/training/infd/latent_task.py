"""The second stage of INFD: diffusion of the latents of a trained autoencoder (INFD §4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.latent_field import sample_latent
from infbrush_wsi.diffusion.process import MollifiedProcess
from infbrush_wsi.diffusion.steps import make_scheduler, step_table
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import DatasetError
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.infd import FieldAutoencoder, LatentDenoiser
from infbrush_wsi.models.infd.latent_denoiser import to_points
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.operators.query import Query
from infbrush_wsi.training.infd.batch import FieldBatch
from infbrush_wsi.training.infd.dataset import FieldDataset
from infbrush_wsi.training.infd.sheet import sheet
from infbrush_wsi.training.statistics import DataStatistics

ROWS, UNCONDITIONAL = 2, 4
SAMPLES = 48


class LatentTask:
    """The latent denoiser as a `training.task.Task`; the autoencoder stays as it is.

    Args:
        denoiser: fresh.
        autoencoder: trained.
        process: diffusion process with the latents' moments.
        info: facts of the model to save.
        snr_gamma: see `OptimConfig`.
        learning_rate: of a run that gives none.
    """

    def __init__(
        self,
        denoiser: LatentDenoiser,
        autoencoder: FieldAutoencoder,
        process: MollifiedProcess,
        info: ModelInfo,
        snr_gamma: float | None,
        learning_rate: float,
    ) -> None:
        self.autoencoder, self.process, self.info, self.snr_gamma = autoencoder, process, info, snr_gamma
        self.network: nn.Module = denoiser
        self.learning_rate = learning_rate
        autoencoder.eval().requires_grad_(False)

    def prepare(self) -> None:
        """Put the autoencoder where the denoiser is."""
        nn.Module.to(self.autoencoder, next(self.network.parameters()).device)

    def losses(self, network: nn.Module, batch: FieldBatch) -> Tensor:
        """Squared error of the network's output for each window, (B,)."""
        with torch.no_grad():
            latent = self.autoencoder.encode(batch.image)
        clean, noise = to_points(latent), batch.noise * self.process.config.noise_std
        x = self.process.noised(clean, noise, batch.timestep)
        given = self.process.network_input(x, batch.timestep).transpose(1, 2).reshape(latent.shape)
        output = to_points(network(given, batch.timestep, batch.condition))
        losses = (output - self.process.target(clean, noise, batch.timestep)).square().mean((1, 2))
        if self.snr_gamma is None:
            return losses
        return losses * self.process.min_snr_weight(batch.timestep, self.snr_gamma)

    def preview(self, averaged: nn.Module, steps: int, side: int | None) -> NDArray[np.uint8]:
        """Two samples of each class (four without classes), rendered at the finest pixel size."""
        network, window = cast(LatentDenoiser, averaged), self.info.window
        shape = Shape(*(window // self.autoencoder.downsampling,) * 2)
        side = side or round(window * max(self.info.spacing) / min(self.info.spacing))
        query = Query.window(Box(0, 0, side, side), (window / side, window / side)).to(network.device)
        table = step_table(make_scheduler("dpmsolver++", self.process.config.schedule), steps)
        classes = len(self.info.classes)

        def picture(row: int, column: int) -> Tensor:
            condition = ConditionBatch.none(1)
            if classes:
                condition = ConditionBatch(torch.zeros(1, dtype=torch.bool), labels=torch.tensor([column]))
            latent = sample_latent(network, self.process, shape, 1000 * row + column, condition, table)
            with torch.no_grad():
                return self.autoencoder.render(self.autoencoder.features(latent), query)

        columns = range(classes or UNCONDITIONAL)
        return sheet([torch.cat([picture(row, column) for column in columns]) for row in range(ROWS)])

    def save(self, directory: Path, averaged: nn.Module, training: dict[str, Any]) -> None:
        """Write the model directory with both networks."""
        networks = {"autoencoder": self.autoencoder, "denoiser": averaged}
        ModelBundle.save(directory, networks, self.info.with_training(training))

    def load(self, directory: Path) -> ModelBundle:
        """Read the model directory."""
        return ModelBundle.load(directory, {"autoencoder": FieldAutoencoder, "denoiser": LatentDenoiser})


@torch.no_grad()
def latent_statistics(autoencoder: FieldAutoencoder, dataset: FieldDataset) -> DataStatistics:
    """Moments of the latents of the first windows of the run.

    Raises:
        DatasetError: if all are equal.
    """
    count = -(-SAMPLES // dataset.spec.batch)
    latents = torch.cat([autoencoder.encode(dataset[step].image) for step in range(count)]).double()
    mean = latents.mean((0, 2, 3))
    std = float((latents - mean[:, None, None]).square().mean().sqrt())
    if not std > 1e-6:
        raise DatasetError("the latents of the training windows are all equal: train the autoencoder for longer")
    return DataStatistics(tuple(mean.tolist()), std)
