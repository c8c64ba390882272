"""A training run as one validated configuration that travels inside its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError, ValidationInfo, field_validator

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.training.yaml_text import plain_values


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


LABELS_BY_RULE = ("none", "folder")
RUN_FILE = "run.yaml"
"""The configuration in a run's folder."""


class DataConfig(_Part):
    """What to train on.

    Attributes:
        sources: files, directories or patterns of slides, rasters and images.
        labels: 'folder' (class = name of the parent folder), 'none', or the path of a CSV with path,label columns.
        embeddings: store of embeddings of these sources (see `infbrush embed`), which then are the conditions instead
            of the classes; classes are still drawn equally often.
        mpp: micrometres per pixel to train at (slides); several are drawn at random.
        resolution: pixel size in the unit of the CRS (rasters); None with `mpp` None: each source's own level 0.
        assume_mpp: pixel size of sources that do not say it.
        bands: 1-based raster bands; None: all.
        window: side of the training window in pixels.
        points: points drawn from a window in each step.
        sampler: coordinate sampler: mixed, uniform, halton, stratified or tissue.
        sampler_options: its options.
        tissue_fraction: least share of tissue (or valid pixels) in a window, where there is that much at all.
        flips: augment by the eight symmetries of the square.
        group_pattern: regular expression whose first group names the patient in a file name.
        validation: share of groups kept out of training.
        cache_dir: where decoded tiles are cached; None: a temporary directory.
        cache_bytes: its size limit.
        workers: loader processes; 0 loads in the training process.
    """

    sources: tuple[str, ...] = Field(min_length=1)
    labels: str = "none"
    embeddings: str | None = None
    mpp: tuple[PositiveFloat, ...] | None = None
    resolution: tuple[PositiveFloat, ...] | None = None
    assume_mpp: float | None = Field(default=None, gt=0)
    bands: tuple[int, ...] | None = None
    window: int = Field(default=128, ge=8)
    points: int = Field(default=4096, ge=1)
    sampler: Literal["mixed", "uniform", "halton", "stratified", "tissue"] = "mixed"
    sampler_options: dict[str, int | float] = {}
    tissue_fraction: float = Field(default=0.25, ge=0, le=1)
    flips: bool = True
    group_pattern: str | None = None
    validation: float = Field(default=0.0, ge=0, lt=1)
    cache_dir: str | None = None
    cache_bytes: int = Field(default=8 << 30, gt=0)
    workers: int = Field(default=1, ge=0)

    @field_validator("points")
    @classmethod
    def _fit_window(cls, points: int, info: ValidationInfo) -> int:
        window = info.data.get("window", points)
        if points > window**2:
            raise ValueError(f"{points} points do not fit a window of {window} x {window} pixels")
        return points

    @field_validator("resolution")
    @classmethod
    def _one_unit(cls, resolution: tuple[float, ...] | None, info: ValidationInfo) -> tuple[float, ...] | None:
        if resolution and info.data.get("mpp"):
            raise ValueError("give mpp (slides) or resolution (rasters), not both")
        return resolution


class ModelConfig(_Part):
    """Which network.

    Attributes:
        system: which of the published systems.
        autoencoder: for infdiff-latent and infd-latent: model directory of the first run, whose latents are learnt.
        latents: for infdiff-latent: how many training windows are encoded.
        preset: 'tiny', 'small' or 'paper'; for infdiff 'tiny', 'small', 'paper-128' or 'paper-256'.
        overrides: arguments of the denoiser that replace the preset's.
        prediction: 'velocity' or 'epsilon' (published).
        scale_input: divide x_t by its known standard deviation.
        schedule: diffusers' name of the beta schedule.
        sigma: of the mollifier in training pixels; at least 1, see `fields.noise`.
        covariance: of the noise of Multilevel Diffusion, with its 'kind', see `fields.covariance`; None: 'bessel'.
        noise_std: standard deviation of that noise at a pixel; None: what the operator gives, as published.
        ortho: values of Multilevel Diffusion are multiplied by N_ref / N on N pixels a side, as published.
    """

    system: str = "infbrush"
    autoencoder: str | None = None
    preset: str = "tiny"
    overrides: dict[str, Any] = {}
    prediction: Literal["velocity", "epsilon"] = "velocity"
    scale_input: bool = True
    schedule: str = "squaredcos_cap_v2"
    sigma: float = Field(default=1.0, ge=1)
    covariance: dict[str, Any] | None = None
    noise_std: float | None = Field(default=1.0, gt=0)
    ortho: bool = False
    latents: int = Field(default=2048, ge=2)


class OptimConfig(_Part):
    """How to train.

    Attributes:
        steps: optimiser steps.
        minutes: train for about that long instead: the number of steps is set after the first ones have been timed.
        batch: images per step and process.
        learning_rate: of Adam; None: the preset's (tiny 1e-3, small 2e-4, paper 5e-5 as published).
        betas: of Adam.
        warmup: steps of linear warm-up.
        decay: share of the run, at its end, over which the rate falls to zero by a cosine; 0: constant.
        clip: gradient norm limit.
        ema: decay of the weights' moving average per step. 0.9995 is the published 0.995 every ten steps; it is
            ramped up as 1 - (1 + step)^(-2/3), so that short runs are not dominated by their start.
        ema_ramp: False: the same decay from the start, as published.
        snr_gamma: weight the loss by min(SNR, snr_gamma) in units of the error of x_0 (min-SNR weighting); None: the
            error of the network's output counts the same at all noise levels, as published.
        curriculum: (share of the steps, factor), in order: train so long on pixels that many times larger, with the
            same windows and weights; what is left is trained at the full resolution. For systems on lattices.
        condition_drop: probability of training without the condition (classifier-free guidance).
        precision: 'no', 'bf16' or 'fp16' (accelerate's mixed precision).
        gradient_checkpointing: recompute point layers in the backward pass: True all, False none, 'auto' as many as
            the memory asks for.
        memory_gib: what 'auto' may use; None: the memory that is free when the run starts.
        compile: let torch compile the layers (for GPUs; takes minutes at the start).
        deterministic: on GPUs, the same bits in each repetition on the same machine, at some cost; CPUs do it anyway.
        seed: of weights, data, times and drops.
    """

    steps: int = Field(default=1000, ge=1)
    minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    batch: int = Field(default=8, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    betas: tuple[float, float] = (0.9, 0.99)
    warmup: int = Field(default=50, ge=0)
    decay: float = Field(default=0.3, ge=0, le=1)
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.9995, gt=0, lt=1)
    ema_ramp: bool = True
    snr_gamma: float | None = Field(default=None, gt=0)
    curriculum: tuple[tuple[float, int], ...] = ()
    condition_drop: float = Field(default=0.1, ge=0, le=1)
    precision: Literal["no", "bf16", "fp16"] = "no"
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    memory_gib: float | None = Field(default=None, gt=0)
    compile: bool = False
    deterministic: bool = False
    seed: int = 0

    @field_validator("curriculum")
    @classmethod
    def _shares(cls, stages: tuple[tuple[float, int], ...]) -> tuple[tuple[float, int], ...]:
        if any(share <= 0 or factor < 2 for share, factor in stages) or sum(share for share, _ in stages) > 1:
            raise ValueError("shares must be positive with a sum of at most 1, and factors at least 2")
        return stages


class RecordConfig(_Part):
    """What a run writes while it goes.

    Attributes:
        log_every: steps between scalars.
        checkpoint_every: steps between resumable checkpoints.
        keep: newest checkpoints kept.
        preview_every: steps between sample images; 0: none.
        preview_steps: sampler steps of a sample image.
        preview_size: its side in pixels; None: the training window.
    """

    log_every: int = Field(default=10, ge=1)
    checkpoint_every: int = Field(default=500, ge=1)
    keep: int = Field(default=2, ge=1)
    preview_every: int = Field(default=0, ge=0)
    preview_steps: int = Field(default=15, ge=1)
    preview_size: int | None = Field(default=None, ge=8)


class RunConfig(_Part):
    """A training run."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    optim: OptimConfig = OptimConfig()
    record: RecordConfig = RecordConfig()

    @classmethod
    def parse(cls, values: dict[str, Any]) -> RunConfig:
        """From plain values.

        Raises:
            ConfigError: naming every wrong field.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, entry['loc']))}: {_said(cls, entry)}" for entry in error.errors()]
            raise ConfigError("the run's configuration is not valid:\n  " + "\n  ".join(lines)) from error

    @classmethod
    def from_yaml(cls, path: str | Path) -> RunConfig:
        """From a YAML file.

        Raises:
            ConfigError: if it cannot be read or is not valid.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the configuration {path}: {error}") from error
        values = plain_values(text, f"the configuration {path}")
        if not isinstance(values, dict):
            raise ConfigError(f"{path} must hold a mapping with the keys data, model, optim, record")
        return cls.parse(values)

    def without_names(self) -> dict[str, Any]:
        """Plain values without names of files and folders: a slide's name may be that of a patient.

        This is what models hold, which are passed on; the run's own folder has all of it.
        """
        values = self.model_dump(mode="json")
        data, model = values["data"], values["model"]
        for name in ("sources", "embeddings", "cache_dir"):
            del data[name]
        if data["labels"] not in LABELS_BY_RULE:
            del data["labels"]
        del model["autoencoder"]
        return values

    def to_yaml(self) -> str:
        """As YAML text."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def _said(model: Any, entry: Any) -> str:
    """What is wrong with a value; of a name that is not known, which ones are."""
    if entry["type"] != "extra_forbidden":
        return str(entry["msg"])
    for name in entry["loc"][:-1]:
        model = model.model_fields[name].annotation
    return f"there is no such value; there are {', '.join(model.model_fields)}"
