"""The second stage of ∞-Diff: a diffusion model of the latents that a trained encoder gives (§1.9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from infbrush_wsi.diffusion.latent import latent_losses, sample_latents
from infbrush_wsi.diffusion.process import MollifiedProcess, ProcessConfig
from infbrush_wsi.errors import CheckpointError, ConfigError, DatasetError
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.infdiff import LatentDenoiser, latent_preset
from infbrush_wsi.models.infdiff.networks import NETWORKS, OPTIONAL
from infbrush_wsi.training.build import TrainingData, build_dataset, constructed
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.infdiff import PREVIEWED, encoded, latent_condition
from infbrush_wsi.training.latent_data import LatentBatch, LatentDataset
from infbrush_wsi.training.preview import preview_sheet
from infbrush_wsi.training.task import Assembly

LEARNING_RATES = {"tiny": 1e-3, "small": 2e-4}
PREVIEW_STEPS = 100
SMALLEST_STD = 1e-4
"""Relative to the largest: an entry of z that does not vary would be divided by nothing."""


class LatentTask:
    """The latent diffusion as a `training.task.Task`; its model directory holds the autoencoder too.

    Args:
        config: of the run.
        network: fresh, with the moments of the latents.
        autoencoder: whose latents they are.
    """

    def __init__(self, config: RunConfig, network: LatentDenoiser, autoencoder: ModelBundle) -> None:
        self.config, self.autoencoder = config, autoencoder
        self.network: nn.Module = network
        self.learning_rate = LEARNING_RATES.get(config.model.preset, 1e-4)

    def prepare(self) -> None:
        """Nothing to plan: the network is a small MLP."""

    def losses(self, network: nn.Module, batch: LatentBatch) -> Tensor:
        """Mean absolute error of the noise in each latent, (B,)."""
        return latent_losses(network, cast(LatentDenoiser, self.network), batch.latent, batch.noise, batch.timestep)

    def preview(self, averaged: nn.Module, steps: int, side: int | None) -> NDArray[np.uint8]:
        """Two images of each of four sampled latents."""
        info = self.autoencoder.info
        latents = sample_latents(cast(LatentDenoiser, averaged), list(range(PREVIEWED)), PREVIEW_STEPS)
        process = MollifiedProcess(ProcessConfig.from_dict(info.process))
        denoiser = self.autoencoder.denoiser
        return preview_sheet(denoiser, process, info.sigma, side or info.window, steps, latent_condition(latents))

    def save(self, directory: Path, averaged: nn.Module, training: dict[str, Any]) -> None:
        """Write the model directory: the autoencoder as it was, and the latent diffusion."""
        facts = {"latent": training | {"config": self.config.without_names()}}
        networks: Mapping[str, Any] = {**self.autoencoder.networks, "latent": averaged}
        ModelBundle.save(directory, networks, self.autoencoder.info.with_training(facts))

    def load(self, directory: Path) -> ModelBundle:
        """Read the model directory."""
        return ModelBundle.load(directory, NETWORKS, optional=OPTIONAL)


def assemble(config: RunConfig, data: TrainingData, facts: dict[str, Any], rank: int, world: int) -> Assembly:
    """The parts of a run, see `training.task.Assemble`; the training windows are encoded here, the same ones each time.

    Raises:
        ConfigError: if no autoencoder is named, or it does not fit the data.
        CheckpointError: if it is no autoencoder.
        DatasetError: if its latents do not vary.
    """
    autoencoder = load_autoencoder(config, data)
    latents = encode_windows(config, data, autoencoder)
    std, mean = torch.std_mean(latents, dim=0)
    if not (torch.isfinite(latents).all() and std.max() > 0):
        raise DatasetError(
            f"the encoder in {config.model.autoencoder} gives all {len(latents)} training windows the same latent, or "
            "no finite one: train the autoencoder longer"
        )
    torch.manual_seed(config.optim.seed)
    arguments = latent_preset(config.model.preset, latents.shape[1], **config.model.overrides)
    network = constructed(LatentDenoiser, arguments)
    network.standardise(mean, std.clamp_min(SMALLEST_STD * float(std.max())))
    dataset = LatentDataset(latents, config.optim.batch, config.optim.seed, rank, world)
    return Assembly(LatentTask(config, network, autoencoder), dataset, facts)


def load_autoencoder(config: RunConfig, data: TrainingData) -> ModelBundle:
    """The trained first stage.

    Raises:
        ConfigError: if none is named, or it was trained on other windows or bands.
        CheckpointError: if the directory holds no autoencoder of ∞-Diff.
    """
    named = config.model.autoencoder
    if named is None:
        raise ConfigError("infdiff-latent needs model.autoencoder: the directory of a trained infdiff model")
    bundle = ModelBundle.load(named, NETWORKS, optional=OPTIONAL)
    if bundle.info.system != "infdiff" or "encoder" not in bundle.networks:
        raise CheckpointError(
            f"{named} holds no autoencoder of infdiff: train one with system infdiff and a latent_dim"
        )
    found = (config.data.window, data.channel_names, data.unit)
    if found != (trained := (bundle.info.window, bundle.info.channel_names, bundle.info.unit)):
        raise ConfigError(f"the autoencoder in {named} was trained with window, bands and unit {trained}, not {found}")
    return bundle


def encode_windows(config: RunConfig, data: TrainingData, autoencoder: ModelBundle) -> Tensor:
    """Latents (config.model.latents, D) of training windows, drawn and flipped as in training."""
    encoder, points, batch = autoencoder.networks["encoder"], config.data.points, config.optim.batch
    plain = replace(data, classes=(), embeddings=None)
    dataset = build_dataset(config, plain, autoencoder.denoiser, reference_points=points)
    count = config.model.latents
    latents = torch.cat([encoded(encoder, dataset[step]) for step in range(-(-count // batch))])
    return latents[:count]
