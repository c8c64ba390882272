"""Training of Multilevel Diffusion: the loss on trace-class noise over whole windows, coarse levels first if wanted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.lattice import LatticeSampler
from infbrush_wsi.diffusion.loss import point_loss
from infbrush_wsi.diffusion.process import MollifiedProcess, ProcessConfig
from infbrush_wsi.diffusion.steps import make_scheduler, step_table
from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.fields.covariance import Bessel, NoiseLaw, covariance_from_dict
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.models.multilevel import LatticeNetwork, MultilevelDenoiser, preset
from infbrush_wsi.points.prepare import Layout
from infbrush_wsi.points.samplers import make_sampler
from infbrush_wsi.training.build import TrainingData, model_info
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.dataset import SampleSpec
from infbrush_wsi.training.lattice_dataset import LatticeBatch, LatticeDataset
from infbrush_wsi.training.statistics import DataStatistics, measure
from infbrush_wsi.training.task import Assembly

LEARNING_RATES = {"paper": 6e-4, "small": 2e-4}
USUAL_RATE = 1e-3
UNCONDITIONAL_COLUMNS, ROWS = 4, 2


class MultilevelTask:
    """A score network of Multilevel Diffusion as a `training.task.Task`.

    Args:
        config: of the run.
        denoiser: fresh network.
        process: diffusion process with the data's statistics.
        law: of the noise.
        info: facts of the model to save.
    """

    def __init__(
        self, config: RunConfig, denoiser: MultilevelDenoiser, process: MollifiedProcess, law: NoiseLaw, info: ModelInfo
    ) -> None:
        self.config, self.denoiser, self.process, self.law, self.info = config, denoiser, process, law, info
        self.network: nn.Module = denoiser
        self.learning_rate = LEARNING_RATES.get(config.model.preset, USUAL_RATE)

    def prepare(self) -> None:
        """Compile the network if the run asks for it."""
        if self.config.optim.compile:
            self.denoiser.compile()

    def losses(self, network: nn.Module, batch: LatticeBatch) -> Tensor:
        """Squared error of the network's output over each window, (B,) [Multilevel Diffusion §3.2]."""
        x = self.process.noised(batch.clean, batch.noise, batch.timestep)
        target = self.process.target(batch.clean, batch.noise, batch.timestep)
        given = self.process.network_input(x, batch.timestep)
        called = LatticeNetwork(cast(MultilevelDenoiser, network), batch.shape)
        losses = point_loss(called(given, batch.timestep, batch.condition), target, batch.weight)
        gamma = self.config.optim.snr_gamma
        return losses if gamma is None else losses * self.process.min_snr_weight(batch.timestep, gamma)

    def preview(self, averaged: nn.Module, steps: int, side: int | None) -> NDArray[np.uint8]:
        """Two samples of each class (four without classes) at the training window's lattice, or with `side` pixels."""
        count = len(self.info.classes) or UNCONDITIONAL_COLUMNS
        condition = ConditionBatch.none(count)
        if self.info.classes:
            condition = ConditionBatch(torch.zeros(count, dtype=torch.bool), labels=torch.arange(count))
        side = side or self.config.data.window
        table = step_table(make_scheduler("dpmsolver++", self.process.config.schedule), steps)
        sampler = LatticeSampler(cast(MultilevelDenoiser, averaged), self.process, self.law)
        rows = [
            sampler.sample(Shape(side, side), [1000 * row + k for k in range(count)], condition, table)
            for row in range(ROWS)
        ]
        sheet = torch.cat([torch.cat(list(row), dim=1) for row in rows]).numpy()[..., :3]
        sheet = sheet if sheet.shape[-1] == 3 else np.repeat(sheet[..., :1], 3, axis=-1)
        return np.asarray(((sheet.clip(-1, 1) + 1) * 127.5).round(), np.uint8)

    def save(self, directory: Path, averaged: nn.Module, training: dict[str, Any]) -> None:
        """Write the model directory."""
        ModelBundle.save(directory, {"denoiser": averaged}, self.info.with_training(training))

    def load(self, directory: Path) -> ModelBundle:
        """Read the model directory."""
        return ModelBundle.load(directory, {"denoiser": MultilevelDenoiser})


def assemble(config: RunConfig, data: TrainingData, facts: dict[str, Any], rank: int, world: int) -> Assembly:
    """The parts of a run of Multilevel Diffusion, see `training.task.Assemble`."""
    if len(data.spacings) > 1 and (config.data.mpp or config.data.resolution):
        raise ConfigError(
            "Multilevel Diffusion trains at one pixel size; give one mpp or resolution, and optim.curriculum for "
            "coarser levels of the same windows"
        )
    law = noise_law(config)
    denoiser = _denoiser(config, data)
    dataset = _dataset(config, data, law, rank, world)
    if stored := facts.get("statistics"):
        statistics = DataStatistics(tuple(stored["mean"]), stored["std"])
    else:
        statistics = measure(_dataset(config, data, law))
    process = _process(config, law, statistics)
    facts = facts | {"statistics": {"mean": list(statistics.mean), "std": statistics.std}}
    info = replace(model_info(config, data, process), system="multilevel", sigma=0.0)
    info = info.with_training({"noise": law.to_dict()})
    return Assembly(MultilevelTask(config, denoiser, process, law, info), dataset, facts)


def noise_law(config: RunConfig) -> NoiseLaw:
    """The law of a run's noise.

    Raises:
        ConfigError: if the configuration's covariance is not valid.
    """
    given = config.model.covariance
    covariance = Bessel() if given is None else covariance_from_dict(given)
    return NoiseLaw(covariance, config.data.window, config.model.noise_std, config.model.ortho)


def _denoiser(config: RunConfig, data: TrainingData) -> MultilevelDenoiser:
    arguments = {
        "channels": len(data.channel_names),
        "classes": data.classes,
        "embedding_dim": 0 if data.embeddings is None else data.embeddings.settings.encoder.dimension,
    }
    torch.manual_seed(config.optim.seed)
    try:
        denoiser: MultilevelDenoiser = MultilevelDenoiser(
            **preset(config.model.preset, **(arguments | config.model.overrides))
        )
    except (ConfigError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"model.preset or model.overrides: {error}") from error
    return denoiser


def _dataset(config: RunConfig, data: TrainingData, law: NoiseLaw, rank: int = 0, world: int = 1) -> LatticeDataset:
    several = config.data.mpp or config.data.resolution
    spec = SampleSpec(
        spacings=data.spacings if several else (),
        window=config.data.window,
        points=config.data.window**2,
        sampler=make_sampler("uniform"),
        layout=Layout(1, 1.0, "splat"),
        sigma=1.0,
        tissue_fraction=config.data.tissue_fraction,
        flips=config.data.flips,
        condition_drop=config.optim.condition_drop,
        batch=config.optim.batch,
        seed=config.optim.seed,
    )
    return LatticeDataset(
        data.images,
        spec,
        law,
        config.optim.curriculum,
        embeddings=data.embeddings,
        cache_dir=Path(config.data.cache_dir) if config.data.cache_dir else None,
        cache_bytes=config.data.cache_bytes,
        steps=config.optim.steps,
        rank=rank,
        world=world,
    )


def _process(config: RunConfig, law: NoiseLaw, statistics: DataStatistics) -> MollifiedProcess:
    window = Shape(config.data.window, config.data.window)
    return MollifiedProcess(
        ProcessConfig(
            schedule=config.model.schedule,
            prediction=config.model.prediction,
            noise_std=law.variance(window) ** 0.5,
            data_std=statistics.std,
            data_mean=statistics.mean,
            scale_input=config.model.scale_input,
            bounded=not config.model.ortho,  # there values grow as the lattice gets coarser
        )
    )
