"""From a configuration to the parts of a run: images, data set, network, process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

import infbrush_wsi
from infbrush_wsi.conditioning.encoders.store import EmbeddingStore
from infbrush_wsi.diffusion.process import MollifiedProcess, ProcessConfig
from infbrush_wsi.errors import BandMismatchError, ConfigError, DatasetError
from infbrush_wsi.fields.noise import NoiseField
from infbrush_wsi.models.infbrush import InfBrushDenoiser, preset
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.models.limits import check_arguments, fits_memory
from infbrush_wsi.points.prepare import Layout
from infbrush_wsi.points.samplers import make_sampler
from infbrush_wsi.sources.collection import Collection, collect
from infbrush_wsi.sources.fingerprint import fingerprint
from infbrush_wsi.sources.registry import open_source
from infbrush_wsi.sources.split import split
from infbrush_wsi.training.config import DataConfig, RunConfig
from infbrush_wsi.training.dataset import FunctionDataset, SampleSpec
from infbrush_wsi.training.statistics import DataStatistics
from infbrush_wsi.training.window_dataset import TrainingImage

Network = TypeVar("Network", bound=torch.nn.Module)


@dataclass(frozen=True)
class TrainingData:
    """What is trained on.

    Attributes:
        images: opened and checked.
        classes: names in order of their index; empty where embeddings are the conditions.
        spacings: pixel sizes, finest first.
        unit: of the spacings.
        channel_names: bands.
        crs: shared by all images, or None.
        manifest: what was used, held out and skipped, and why.
        embeddings: of the images, if these are the conditions.
    """

    images: list[TrainingImage]
    classes: tuple[str, ...]
    spacings: tuple[float, ...]
    unit: str
    channel_names: tuple[str, ...]
    crs: str | None
    manifest: dict[str, Any]
    embeddings: EmbeddingStore | None = None


def load_data(config: DataConfig) -> TrainingData:
    """Find, open and check the sources of a run.

    Raises:
        DatasetError: if no usable image is left.
        BandMismatchError: if the images do not share bands or units.
        ConditionError: if the store of embeddings cannot be used.
    """
    embeddings = None if config.embeddings is None else EmbeddingStore(config.embeddings)
    collection = collect(
        config.sources, labels=config.labels, mpp=config.assume_mpp, group_pattern=config.group_pattern
    )
    spacings = tuple(sorted(config.mpp or config.resolution or ()))
    checked = collection.check(
        spacing=max(spacings, default=None), min_shape=(config.window, config.window), bands=config.bands
    )
    kept, held_out = _held_out(checked, config.validation)
    index = {name: i for i, name in enumerate(kept.classes)}
    images = [
        TrainingImage(
            open_source(item.path, mpp=item.mpp, bands=config.bands),
            None if item.label is None else index[item.label],
            Path(item.path).name,
        )
        for item in kept.items
    ]
    unit = _same("unit", {image.name: image.source.lattice.unit for image in images})
    channel_names = _same("bands", {image.name: image.source.channel_names for image in images})
    crs = {image.source.lattice.crs for image in images}
    manifest = kept.manifest() | {"held_out": [item.path for item in held_out]}
    own = spacings or tuple(sorted({_own_spacing(image) for image in images}))
    found = TrainingData(
        images, tuple(kept.classes), own, unit, channel_names, crs.pop() if len(crs) == 1 else None, manifest
    )
    return found if embeddings is None else _embedded(found, embeddings)


def _embedded(data: TrainingData, store: EmbeddingStore) -> TrainingData:
    """The same with embeddings as conditions.

    Raises:
        DatasetError: if an image has none in the store, or is measured in another unit.
    """
    settings, known = store.settings, {slide.key for slide in store.slides}
    if settings.unit != data.unit:
        raise DatasetError(f"'{store.path}' is measured in {settings.unit}, the images in {data.unit}; embed them anew")
    # By the pixels that were embedded: the model may be trained on other bands.
    keys = [fingerprint(i.source.path, settings.bands, i.source.options.scale) for i in data.images]
    missing = [image.source.path for image, key in zip(data.images, keys, strict=True) if key not in known]
    if missing:
        raise DatasetError(
            f"'{store.path}' holds no embeddings of {len(missing)} of {len(keys)} images ({', '.join(missing[:3])}, "
            "...): run infbrush embed with the same sources"
        )
    images = [replace(image, key=key) for image, key in zip(data.images, keys, strict=True)]
    manifest = data.manifest | {"embeddings": settings.to_dict()}
    return replace(data, images=images, classes=(), manifest=manifest, embeddings=store)


def _held_out(collection: Collection, share: float) -> tuple[Collection, Sequence[Any]]:
    if share == 0:
        return collection, []
    parts = split(collection, fractions={"train": 1 - share, "val": share}, by="group", seed=0)
    if not parts["train"].items:
        raise DatasetError("no image is left for training; lower 'validation'")
    return parts["train"], parts["val"].items


def _own_spacing(image: TrainingImage) -> float:
    spacing = image.source.lattice.spacing
    return float((spacing.x * spacing.y) ** 0.5)


def _same(what: str, values: dict[str, Any]) -> Any:
    counts = Counter(values.values())
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        other = next(name for name, value in values.items() if value != usual)
        raise BandMismatchError(
            f"the images differ in {what}: {other} has {values[other]!r}, most have {usual!r}; "
            "train on one kind, or choose bands"
        )
    return next(iter(values.values()))


def build_denoiser(config: RunConfig, data: TrainingData) -> InfBrushDenoiser:
    """A fresh network with weights from the run's seed.

    Raises:
        ConfigError: if an override is unknown or does not fit.
    """
    arguments = {
        "channels": len(data.channel_names),
        "classes": data.classes,
        "embedding_dim": 0 if data.embeddings is None else data.embeddings.settings.encoder.dimension,
        "magnification": len(config.data.mpp or config.data.resolution or ()) > 1,
    }
    torch.manual_seed(config.optim.seed)
    chosen = preset(config.model.preset, window=config.data.window, **(arguments | config.model.overrides))
    denoiser: InfBrushDenoiser = constructed(InfBrushDenoiser, chosen)
    return denoiser


def constructed(network: type[Network], arguments: dict[str, Any]) -> Network:
    """A fresh network.

    Raises:
        ConfigError: if an argument is unknown or does not fit.
    """
    where = "model.preset or model.overrides"
    check_arguments(arguments, where)
    try:
        with torch.device("meta"):  # nothing is allocated
            parameters = sum(parameter.numel() for parameter in network(**arguments).parameters())
        made = network(**arguments) if fits_memory(parameters) else None
    except Exception as error:
        # torch and diffusers meet sizes that do not go together with many kinds of errors.
        raise ConfigError(f"{where}: {error}") from error
    if made is None:
        raise ConfigError(
            f"{where}: a network of {parameters} parameters takes {4 * parameters >> 30} GiB; choose smaller widths"
        )
    return made


def build_dataset(
    config: RunConfig,
    data: TrainingData,
    denoiser: InfBrushDenoiser,
    rank: int = 0,
    world: int = 1,
    *,
    reference_points: int = 0,
) -> FunctionDataset:
    """The data set of one process; see `SampleSpec` for `reference_points`."""
    several = config.data.mpp or config.data.resolution
    spec = SampleSpec(
        spacings=data.spacings if several else (),
        window=config.data.window,
        points=config.data.points,
        sampler=make_sampler(config.data.sampler, **config.data.sampler_options),
        layout=Layout(denoiser.config.kernel_size, denoiser.config.grid_pitch, denoiser.config.transfer),
        sigma=config.model.sigma,
        tissue_fraction=config.data.tissue_fraction,
        flips=config.data.flips,
        condition_drop=config.optim.condition_drop,
        batch=config.optim.batch,
        seed=config.optim.seed,
        reference_points=reference_points,
    )
    cache = Path(config.data.cache_dir) if config.data.cache_dir else None
    return FunctionDataset(
        data.images,
        spec,
        embeddings=data.embeddings,
        cache_dir=cache,
        cache_bytes=config.data.cache_bytes,
        steps=config.optim.steps,
        rank=rank,
        world=world,
    )


def build_process(config: RunConfig, statistics: DataStatistics) -> MollifiedProcess:
    """The diffusion process with the data's moments."""
    field = NoiseField(seed=0, channels=1, sigma=config.model.sigma)
    return MollifiedProcess(
        ProcessConfig(
            schedule=config.model.schedule,
            prediction=config.model.prediction,
            noise_std=float(field.scale),
            data_std=statistics.std,
            data_mean=statistics.mean,
            scale_input=config.model.scale_input,
        )
    )


def model_info(config: RunConfig, data: TrainingData, process: MollifiedProcess) -> ModelInfo:
    """The record that is saved beside the weights."""
    return ModelInfo(
        system=config.model.system,
        spacing=data.spacings,
        unit=data.unit,
        window=config.data.window,
        channel_names=data.channel_names,
        classes=data.classes,
        sigma=config.model.sigma,
        process=asdict(process.config),
        training={
            "points": config.data.points,
            "batch": config.optim.batch,
            "sampler": config.data.sampler,
            "images": len(data.images),
            "sources": sorted({image.source.fingerprint for image in data.images}),
            "config": config.without_names(),
            **({} if data.embeddings is None else {"encoder": data.embeddings.settings.encoder.to_dict()}),
        },
        crs=data.crs,
        package_version=infbrush_wsi.__version__,
    )
