"""Training of ∞-Diff: the denoiser alone, or together with the encoder whose latent it reads (§1.9, §1.11)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.process import MollifiedProcess
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.models.infdiff import InfDiffAutoencoder, InfDiffEncoder, encoder_preset, preset
from infbrush_wsi.models.infdiff.networks import NETWORKS, OPTIONAL
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.training.batch import TrainBatch
from infbrush_wsi.training.build import TrainingData, build_dataset, build_process, constructed, model_info
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.dataset import FunctionDataset
from infbrush_wsi.training.infbrush import InfBrushTask
from infbrush_wsi.training.preview import preview_sheet
from infbrush_wsi.training.statistics import measured_once
from infbrush_wsi.training.task import Assembly

LEARNING_RATES = {"tiny": 1e-3, "small": 2e-4, "paper-128": 1e-4, "paper-256": 5e-5}
PREVIEWED = 4


class InfDiffTask(InfBrushTask):
    """Denoiser and encoder of ∞-Diff as a `training.task.Task`.

    Both are trained by one optimiser and both are averaged. The encoder reads T x_0 at points drawn apart from those of
    the loss, so that it cannot hand values through.

    Args:
        config: of the run.
        network: fresh networks.
        process: diffusion process with the data's statistics.
        info: facts of the model to save.
        dataset: of the run; previews show latents of its first windows.
    """

    def __init__(
        self,
        config: RunConfig,
        network: InfDiffAutoencoder,
        process: MollifiedProcess,
        info: ModelInfo,
        dataset: FunctionDataset,
    ) -> None:
        super().__init__(config, network.denoiser, process, info)
        self.network, self.encoder, self.dataset = network, network.encoder, dataset
        self.learning_rate = LEARNING_RATES.get(config.model.preset, 5e-5)

    def prepare(self) -> None:
        """Plan memory for the denoiser; the encoder recomputes where the denoiser must."""
        super().prepare()
        if self.encoder is not None:
            self.encoder.recomputed_layers = len(self.encoder.down) if self.denoiser.recomputed_layers else 0

    def output(self, network: nn.Module, given: Tensor, batch: TrainBatch) -> Tensor:
        """See `InfBrushTask.output`."""
        reference = None if batch.reference is None else (batch.reference.values, batch.reference.support)
        # Labels steer which windows are drawn; the network knows of none.
        condition, magnification = replace(batch.condition, labels=None), batch.log_magnification
        return cast(Tensor, network(given, batch.support, batch.timestep, condition, magnification, reference))

    def preview(self, averaged: nn.Module, steps: int, side: int | None) -> NDArray[np.uint8]:
        """Two samples of each of four training windows' latents, or eight without a latent."""
        network = cast(InfDiffAutoencoder, averaged)
        conditions = None
        if network.encoder is not None:
            latents = torch.cat([encoded(network.encoder, self.dataset[k]) for k in range(PREVIEWED)])[:PREVIEWED]
            conditions = latent_condition(latents)
        side = side or self.config.data.window
        return preview_sheet(network.denoiser, self.process, self.info.sigma, side, steps, conditions)

    def save(self, directory: Path, averaged: nn.Module, training: dict[str, Any]) -> None:
        """Write the model directory."""
        network = cast(InfDiffAutoencoder, averaged)
        networks: dict[str, Any] = {"denoiser": network.denoiser}
        if network.encoder is not None:
            networks["encoder"] = network.encoder
        ModelBundle.save(directory, networks, self.info.with_training(training))

    def load(self, directory: Path) -> ModelBundle:
        """Read the model directory."""
        return ModelBundle.load(directory, NETWORKS, optional=OPTIONAL)


def assemble(config: RunConfig, data: TrainingData, facts: dict[str, Any], rank: int, world: int) -> Assembly:
    """The parts of a run of ∞-Diff, see `training.task.Assemble`.

    Raises:
        ConfigError: if the run gives embeddings, or settings that do not fit.
    """
    if data.embeddings is not None:
        raise ConfigError("infdiff learns its own latents; leave data.embeddings out, or train infbrush with them")
    data = replace(data, classes=())
    network = build_networks(config, data)

    def dataset(rank: int = 0, world: int = 1) -> FunctionDataset:
        points = config.data.points if network.encoder is not None else 0
        return build_dataset(config, data, network.denoiser, rank, world, reference_points=points)

    statistics, facts = measured_once(facts, dataset)
    process, own = build_process(config, statistics), dataset(rank, world)
    return Assembly(InfDiffTask(config, network, process, model_info(config, data, process), own), own, facts)


def build_networks(config: RunConfig, data: TrainingData) -> InfDiffAutoencoder:
    """Fresh networks with weights from the run's seed; ``overrides: {latent_dim: 0}`` gives the unconditional model.

    Raises:
        ConfigError: if an override is unknown or does not fit.
    """
    arguments = {
        "channels": len(data.channel_names),
        "magnification": len(config.data.mpp or config.data.resolution or ()) > 1,
    }
    torch.manual_seed(config.optim.seed)
    chosen = preset(config.model.preset, window=config.data.window, **(arguments | config.model.overrides))
    denoiser = constructed(InfBrushDenoiser, chosen)
    encoder = constructed(InfDiffEncoder, encoder_preset(chosen)) if chosen["latent_dim"] else None
    return InfDiffAutoencoder(denoiser, encoder)


def latent_condition(latents: Tensor) -> ConditionBatch:
    """(B, D) latents as conditions."""
    return ConditionBatch(torch.zeros(len(latents), dtype=torch.bool), embeddings=latents[:, None])


@torch.no_grad()
def encoded(encoder: InfDiffEncoder, batch: TrainBatch) -> Tensor:
    """Latents (B, D) on the CPU of a batch with reference points."""
    assert batch.reference is not None  # noqa: S101
    reference = batch.to(encoder.device).reference
    return encoder(reference.values, reference.support).float().cpu()  # type: ignore[union-attr,no-any-return]
