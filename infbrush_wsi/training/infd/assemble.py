"""The parts of a run of INFD, for either stage."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from diffusers import AutoencoderKL, VQModel

import infbrush_wsi
from infbrush_wsi.diffusion.process import MollifiedProcess, ProcessConfig
from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import CheckpointError, ConfigError
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.infd import FieldAutoencoder, LatentDenoiser, preset
from infbrush_wsi.models.infd.critic import PatchCritic
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.training.build import TrainingData
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.infd.autoencoder_task import AutoencoderTask
from infbrush_wsi.training.infd.dataset import FieldDataset, FieldSampleSpec
from infbrush_wsi.training.infd.latent_task import LatentTask, latent_statistics
from infbrush_wsi.training.infd.losses import LossWeights
from infbrush_wsi.training.statistics import DataStatistics
from infbrush_wsi.training.task import Assembly

RATES = {
    "autoencoder": {"tiny": 1e-3, "small": 2e-4, "paper": 3.6e-5},
    "latent": {"tiny": 1e-3, "small": 2e-4, "paper": 9.6e-5},
}
PARTS = ("autoencoder", "denoiser", "critic", "losses", "data", "pretrained")
SMALLEST_PATCH = 16
FINEST = 0.25
"""Share of targets at the finest pixel size: a uniform draw hits it never. The paper raises it late in its run."""


def assemble(config: RunConfig, data: TrainingData, facts: dict[str, Any], rank: int, world: int) -> Assembly:
    """The parts of a run of INFD, see `training.task.Assemble`.

    `model.overrides` may hold, by network, arguments that replace the preset's (`autoencoder`, `denoiser`, `critic`);
    `losses` (`LossWeights`); `data` with `patch` and `finest` (`FieldSampleSpec`); and `pretrained`, a directory or
    name of a diffusers autoencoder to start from.

    Raises:
        ConfigError: if something does not fit.
    """
    unknown = set(config.model.overrides) - set(PARTS)
    if unknown:
        raise ConfigError(f"model.overrides of infd knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    torch.manual_seed(config.optim.seed)
    make = _latent if _of_latents(config) else _autoencoder
    return make(config, data, facts, rank, world)


def _of_latents(config: RunConfig) -> bool:
    return config.model.system == "infd-latent"


def _autoencoder(config: RunConfig, data: TrainingData, facts: dict[str, Any], rank: int, world: int) -> Assembly:
    if config.model.autoencoder is not None:
        raise ConfigError("model.autoencoder belongs to infd-latent; to start from one give overrides.pretrained")
    network = _network(config, len(data.channel_names))
    weights = LossWeights.of(
        {"bottleneck": 1.0 if network.quantised else 1e-4} | config.model.overrides.get("losses", {})
    )
    given = preset(config.model.preset).critic | config.model.overrides.get("critic", {})
    critic = _made(PatchCritic, "critic", {"channels": network.channels} | given) if weights.adversarial else None
    dataset = _dataset(config, data, network, rank, world)
    info = _info(config, data, {})
    task = AutoencoderTask(network, critic, weights, info, dataset, _rate(config))
    return Assembly(task, dataset, facts)


def _latent(config: RunConfig, data: TrainingData, facts: dict[str, Any], rank: int, world: int) -> Assembly:
    if config.model.autoencoder is None:
        raise ConfigError("the system infd-latent needs model.autoencoder: the --out of a run of infd")
    bundle = ModelBundle.load(config.model.autoencoder, {"autoencoder": FieldAutoencoder}, verify=False)
    network: FieldAutoencoder = bundle.networks["autoencoder"]
    if facts.get("autoencoder", bundle.weights_sha256) != bundle.weights_sha256:
        raise CheckpointError(
            f"{config.model.autoencoder} is another autoencoder than the run was started with; restore it, or begin a "
            "new run in another --out"
        )
    _check_same(bundle.info, config, data)
    dataset = _dataset(config, data, network, rank, world)
    if stored := facts.get("statistics"):
        statistics = DataStatistics(tuple(stored["mean"]), stored["std"])
    else:
        statistics = latent_statistics(network, _dataset(config, data, network))
    process = MollifiedProcess(
        ProcessConfig(
            schedule=config.model.schedule,
            prediction=config.model.prediction,
            noise_std=statistics.std,
            data_std=statistics.std,
            data_mean=statistics.mean,
            scale_input=config.model.scale_input,
            bounded=False,
        )
    )
    arguments = preset(config.model.preset).denoiser | config.model.overrides.get("denoiser", {})
    embedding = 0 if data.embeddings is None else data.embeddings.settings.encoder.dimension
    own = {"channels": network.latent_channels, "classes": data.classes, "embedding_dim": embedding}
    denoiser = _made(LatentDenoiser, "denoiser", own | arguments)
    side = config.data.window // network.downsampling
    if side % denoiser.multiple:
        raise ConfigError(
            f"data.window {config.data.window} makes a latent of {side} cells a side, which the U-Net cannot halve "
            f"evenly: let it be a multiple of {network.downsampling * denoiser.multiple}"
        )
    info = _info(config, data, asdict(process.config))
    task = LatentTask(denoiser, network, process, info, config.optim.snr_gamma, _rate(config))
    kept = {"mean": list(statistics.mean), "std": statistics.std}
    return Assembly(task, dataset, facts | {"statistics": kept, "autoencoder": bundle.weights_sha256})


def _network(config: RunConfig, bands: int) -> FieldAutoencoder:
    """A fresh autoencoder, or a fresh renderer behind a given one."""
    arguments = preset(config.model.preset).autoencoder | config.model.overrides.get("autoencoder", {})
    pretrained = config.model.overrides.get("pretrained")
    if pretrained is None:
        networks = arguments["networks"] | {"in_channels": bands, "out_channels": bands}
        fresh: FieldAutoencoder = _made(FieldAutoencoder, "autoencoder", arguments | {"networks": networks})
        return fresh
    problems = []
    kinds: tuple[Any, ...] = (AutoencoderKL, VQModel)
    for kind in kinds:
        try:
            given = kind.from_pretrained(pretrained)
        except Exception as error:  # diffusers has many
            problems.append(str(error))
            continue
        made = {k: v for k, v in arguments.items() if k in ("width", "blocks", "norm")}
        network: FieldAutoencoder = FieldAutoencoder.around(given, **made)
        if network.channels != bands:
            raise ConfigError(f"the autoencoder {pretrained} has {network.channels} bands, the images {bands}")
        return network
    raise ConfigError(f"diffusers cannot load an autoencoder from {pretrained}: {problems[0]}")


def _made(kind: Any, name: str, arguments: dict[str, Any]) -> Any:
    try:
        return kind(**arguments)
    except (ConfigError, TypeError, ValueError) as error:
        raise ConfigError(f"model.preset or model.overrides.{name}: {error}") from error


def _dataset(
    config: RunConfig, data: TrainingData, network: FieldAutoencoder, rank: int = 0, world: int = 1
) -> FieldDataset:
    given = {"patch": min(config.data.window, 64), "finest": FINEST} | config.model.overrides.get("data", {})
    patch, factor = given["patch"], network.downsampling
    if config.data.window % factor or not SMALLEST_PATCH <= patch <= config.data.window:
        raise ConfigError(
            f"data.window {config.data.window} must be a multiple of {factor}, and overrides.data.patch ({patch}) from "
            f"{SMALLEST_PATCH} to the window"
        )
    if set(given) != {"patch", "finest"} or not 0 <= given["finest"] <= 1:
        raise ConfigError(f"overrides.data takes patch, and finest from 0 to 1, not {given}")
    if _of_latents(config):
        patch = SMALLEST_PATCH  # targets are not looked at
    side = config.data.window // factor
    spec = FieldSampleSpec(
        spacings=data.spacings,
        window=config.data.window,
        patch=patch,
        finest=given["finest"],
        tissue_fraction=config.data.tissue_fraction,
        flips=config.data.flips,
        condition_drop=config.optim.condition_drop,
        latent=(Shape(side, side), network.latent_channels),
        batch=config.optim.batch,
        seed=config.optim.seed,
    )
    steps = config.optim.steps
    return FieldDataset(data.images, spec, embeddings=data.embeddings, steps=steps, rank=rank, world=world)


def _check_same(info: ModelInfo, config: RunConfig, data: TrainingData) -> None:
    """The second stage must see windows as the first did."""
    pairs = {
        "pixel sizes": (info.spacing, data.spacings),
        "unit": (info.unit, data.unit),
        "bands": (info.channel_names, data.channel_names),
        "window": (info.window, config.data.window),
    }
    for what, (before, now) in pairs.items():
        if before != now:
            raise ConfigError(
                f"the autoencoder was trained with the {what} {before}, this run has {now}: use the same data settings"
            )


def _info(config: RunConfig, data: TrainingData, process: dict[str, Any]) -> ModelInfo:
    """The record that is saved beside the weights."""
    return ModelInfo(
        system="infd",
        spacing=data.spacings,
        unit=data.unit,
        window=config.data.window,
        channel_names=data.channel_names,
        classes=data.classes if process else (),
        sigma=0.0,
        process=process,
        training={
            "batch": config.optim.batch,
            "images": len(data.images),
            "sources": sorted({image.source.fingerprint for image in data.images}),
            "config": config.without_names(),
            **({} if data.embeddings is None else {"encoder": data.embeddings.settings.encoder.to_dict()}),
        },
        crs=data.crs,
        package_version=infbrush_wsi.__version__,
    )


def _rate(config: RunConfig) -> float:
    return RATES["latent" if _of_latents(config) else "autoencoder"].get(config.model.preset, 1e-4)
