"""The facts about a path that `infbrush info` shows, as plain values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from infbrush_wsi.cli.provenance import record_of
from infbrush_wsi.domain import Lattice
from infbrush_wsi.errors import CheckpointError
from infbrush_wsi.models.shipped import model_directory
from infbrush_wsi.sources.base import Source
from infbrush_wsi.sources.registry import open_source

MODEL_RECORD = "infbrush.json"


def describe(path: str) -> dict[str, Any]:
    """Facts about a model (a directory, or the name of one that comes with the package) or an image.

    Raises:
        CheckpointError: if a model directory is damaged.
        SourceError: one of its kinds, if an image cannot be opened.
    """
    directory = model_directory(path)
    if (directory / MODEL_RECORD).is_file():
        return _model(directory)
    with open_source(path) as source:
        return _image(source)


def _image(source: Source) -> dict[str, Any]:
    lattice = source.lattice
    metadata = dict(source.metadata)
    metadata.pop("provenance", None)
    provenance = dict(record_of(source) or {})
    mask, _ = source.mask(1024)
    georeferenced = lattice.crs is not None
    return {
        "kind": "image",
        "path": source.path,
        "format": metadata.pop("reader", source.name),
        "size": f"{lattice.shape.w} x {lattice.shape.h} px",
        "mpp": source.mpp if lattice.unit == "micrometer" else None,
        "pixel_size": _pixel_size(lattice),
        "crs": lattice.crs,
        "transform": list(lattice.transform[:6]) if georeferenced else None,
        "levels": [
            f"{k}: {level.lattice.shape.w} x {level.lattice.shape.h} px (1/{level.downsample:g})"
            for k, level in enumerate(source.levels)
        ],
        "channels": list(source.channel_names),
        "synthetic": provenance.pop("synthetic", metadata.pop("synthetic", None)),
        "state": provenance.pop("state", None),
        "tissue" if source.mask_kind == "tissue" else "valid": f"{100 * mask.mean():.1f} %",
        "metadata": metadata,
        "provenance": provenance,
        "fingerprint": source.fingerprint,
    }


def _pixel_size(lattice: Lattice) -> str:
    if lattice.unit == "pixel":
        return "unknown"
    x, y = lattice.spacing.x, lattice.spacing.y
    return f"{x:.6g} {lattice.unit}" if abs(x - y) < 1e-6 * x else f"{x:.6g} x {y:.6g} {lattice.unit}"


def _model(directory: Path) -> dict[str, Any]:
    from infbrush_wsi.models.info import ModelInfo

    record = _record(directory)
    digest = record.pop("weights_sha256", None)
    info = ModelInfo.from_dict(record)
    training = dict(info.training)
    config = training.pop("config", {})
    trained = config.get("model") if isinstance(config, dict) else None
    found = _hash(directory)
    if found != digest:
        raise CheckpointError(f"the weights in {directory} do not match {MODEL_RECORD}; copy the model again")
    return {
        "kind": "model",
        "path": str(directory),
        "system": info.system,
        "preset": trained.get("preset") if isinstance(trained, dict) else None,
        "parameters": _parameters(directory),
        "classes": list(info.classes),
        "pixel_size": [f"{spacing:g} {info.unit}" for spacing in info.spacing],
        "crs": info.crs,
        "window": f"{info.window} px",
        "channels": list(info.channel_names),
        "training": training,
        "process": info.process,
        "package_version": info.package_version,
        "weights_sha256": digest,
    }


def _record(directory: Path) -> dict[str, Any]:
    try:
        record = json.loads((directory / MODEL_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{directory / MODEL_RECORD} cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise CheckpointError(f"{directory / MODEL_RECORD} must hold a JSON object")
    return record


def _weights(directory: Path) -> Path:
    found = sorted((directory / "denoiser").glob("*.safetensors"))
    if len(found) != 1 or not found[0].is_file():
        raise CheckpointError(f"{directory / 'denoiser'} must hold one safetensors file, it holds {len(found)}")
    return found[0]


def _hash(directory: Path) -> str:
    import hashlib

    with _weights(directory).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parameters(directory: Path) -> int:
    """Counted from the header of the weights: no torch is needed for that."""
    import math

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(_weights(directory), "numpy") as tensors:
            return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"the weights in {directory} are damaged: {error}") from error
