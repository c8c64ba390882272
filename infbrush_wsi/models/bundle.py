"""A model directory: ``infbrush.json`` (facts), ``denoiser/`` (diffusers layout: config.json and safetensors).

A directory is replaced part by part through renames, so a reader never finds half-written weights, and the facts,
which hold the hash of the weights, are written last.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from infbrush_wsi.errors import CheckpointError, OutputError
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.models.shipped import model_directory, shipped_models

INFO_FILE = "infbrush.json"
DENOISER = "denoiser"


@dataclass(frozen=True)
class ModelBundle:
    """A denoiser with its facts.

    Attributes:
        denoiser: a diffusers `ModelMixin`.
        info: what it was trained for.
        weights_sha256: of the safetensors file it was loaded from or saved to.
        directory: that file's model directory; None for a model that was never on disk.
    """

    denoiser: Any
    info: ModelInfo
    weights_sha256: str
    directory: Path | None = None

    @classmethod
    def save(cls, directory: Path, denoiser: Any, info: ModelInfo, *, half: bool = False) -> ModelBundle:
        """Write a model directory, replacing a model that is there; other files stay.

        Args:
            directory: created if it is not there.
            denoiser: a diffusers `ModelMixin`.
            info: its facts.
            half: store the weights as float16, half as large; they are computed with as float32 all the same.

        Raises:
            OutputError: if it cannot be written; what was there before is kept.
        """
        fresh = directory / f".{DENOISER}.partial-{os.getpid()}"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(fresh, ignore_errors=True)
            stored = copy.deepcopy(denoiser).half() if half else denoiser
            stored.save_pretrained(fresh, safe_serialization=True)
            digest = _hash(_weights(fresh))
            _replace(directory, fresh, info.to_dict() | {"weights_sha256": digest})
        except (OSError, SafetensorError) as error:
            raise OutputError(f"cannot write the model to {directory}: {error}") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return cls(denoiser, info, digest, directory)

    @classmethod
    def load(cls, directory: str | Path, denoiser_class: Any, *, verify: bool = True) -> ModelBundle:
        """Read a model directory.

        Args:
            directory: as written by `save`, or the name of a model that comes with the package.
            denoiser_class: the diffusers model class to build.
            verify: compare the hash of the weights with the record.

        Raises:
            CheckpointError: if something is missing, damaged, or of another system or version.
        """
        directory = model_directory(directory)
        record = _read_record(directory)
        expected = record.pop("weights_sha256", None)
        info = ModelInfo.from_dict(record)
        weights = _weights(directory / DENOISER)
        digest = _hash(weights)
        if verify and digest != expected:
            raise CheckpointError(
                f"{weights} does not match the hash in {INFO_FILE}: it was damaged or replaced; copy the model again"
            )
        try:
            denoiser = denoiser_class.from_pretrained(directory / DENOISER, low_cpu_mem_usage=False)
        except Exception as error:  # safetensors, json and diffusers each have their own
            raise CheckpointError(f"cannot load the weights in {directory / DENOISER}: {error}") from error
        # The file is mapped, and what lies in it unaligned is slower to multiply and rounds differently.
        for parameter in denoiser.parameters():
            parameter.data = parameter.data.clone()
        return cls(denoiser.eval(), info, digest, directory)


def read_info(directory: str | Path) -> ModelInfo:
    """What a model says of itself, without its weights.

    Args:
        directory: as written by `ModelBundle.save`, or the name of a model that comes with the package.

    Raises:
        CheckpointError: if there is no record, or it is damaged or of another version.
    """
    record = _read_record(model_directory(directory))
    record.pop("weights_sha256", None)
    return ModelInfo.from_dict(record)


def _replace(directory: Path, fresh: Path, record: dict[str, Any]) -> None:
    """Put new weights and their record in place of the old ones, or leave the old ones."""
    weights, old = directory / DENOISER, directory / f".{DENOISER}.old-{os.getpid()}"
    shutil.rmtree(old, ignore_errors=True)
    if weights.exists():
        weights.replace(old)
    try:
        fresh.replace(weights)
        write_json(directory / INFO_FILE, record)
    except BaseException:
        shutil.rmtree(weights, ignore_errors=True)
        if old.exists():
            old.replace(weights)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write JSON through a temporary file and a rename."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _read_record(directory: Path) -> dict[str, Any]:
    path = directory / INFO_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{directory} is not a model directory: it has no {INFO_FILE}; give the --out of a training run"
            + (f" or one of {', '.join(shipped)}" if (shipped := shipped_models()) else "")
        )
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(record, dict):
        raise CheckpointError(f"{path} must hold a JSON object")
    return record


def _weights(directory: Path) -> Path:
    found = sorted(directory.glob("*.safetensors"))
    if len(found) != 1:
        raise CheckpointError(f"{directory} must hold one safetensors file, it holds {len(found)}")
    return found[0]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
