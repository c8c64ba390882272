"""From a YAML file, options and --set to the values of a run's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infbrush_wsi.errors import CheckpointError, ConfigError, DatasetError

Values = dict[str, dict[str, Any]]
LONGEST = 200
"""Characters of a setting in a message."""
LATENT_BATCH = 256
"""Published (∞-Diff §1.9): latents are small."""


def merged(base: Mapping[str, Any], options: Mapping[str, Any], settings: Sequence[str]) -> Values:
    """A configuration as plain values.

    Args:
        base: of the file, or empty.
        options: 'part.name' → value; None leaves the base's.
        settings: 'part.name=value' with the value in YAML; they come last.

    Raises:
        ConfigError: for a setting that is not 'part.name=value'.
    """
    values: Values = {part: dict(names or {}) for part, names in base.items()}
    for key, value in {**options, **_parsed(settings)}.items():
        if value is not None or key not in options:
            part, _, name = key.partition(".")
            values.setdefault(part, {})[name] = value
    return values


def second_stage(values: Values) -> Values:
    """The values of a run on the latents of an autoencoder: where they say nothing, its own data and preset.

    Its data are those of its run's folder; a copy of the model alone does not know their names.

    Raises:
        CheckpointError: if there is no such model.
    """
    from infbrush_wsi.models.bundle import read_info
    from infbrush_wsi.training.config import RUN_FILE

    autoencoder = values["model"]["autoencoder"]
    first, run = read_info(autoencoder).training.get("config", {}), Path(autoencoder) / RUN_FILE
    first = read_mapping(run) if run.is_file() else first
    if not (isinstance(first, dict) and all(isinstance(first.get(part, {}), dict) for part in ("model", "data"))):
        raise CheckpointError(f"the record of the model in {autoencoder} holds no configuration of its training")
    model = {"preset": first.get("model", {}).get("preset", "tiny"), **values["model"]}
    optim = values.get("optim", {})
    if values["model"].get("system") == "infdiff-latent":
        optim = {"batch": LATENT_BATCH, **optim}
    return {**values, "data": {**first.get("data", {}), **values.get("data", {})}, "model": model, "optim": optim}


def _parsed(settings: Sequence[str]) -> dict[str, Any]:
    from infbrush_wsi.training.yaml_text import plain_values

    parsed = {}
    for text in settings:
        key, found, value = text.partition("=")
        part, dot, name = key.strip().partition(".")
        if not (found and dot and part and name):
            raise ConfigError(f"--set needs part.name=value, e.g. optim.decay=0.5, not {text!r}")
        parsed[f"{part}.{name}"] = plain_values(value, f"the value of --set {text[:LONGEST]}")
    return parsed


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file of a configuration, not yet validated.

    Raises:
        ConfigError: if it cannot be read or holds no mapping of mappings.
    """
    from infbrush_wsi.training.yaml_text import plain_values

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    values = plain_values(text, f"the configuration {path}")
    if not isinstance(values, dict) or not all(isinstance(part, dict | None) for part in values.values()):
        raise ConfigError(f"{path} must hold a mapping with the keys data, model, optim, record")
    return values


def default_labels(sources: Sequence[str]) -> str:
    """'folder' if a source is a directory whose images all lie in at least two class folders, else 'none'."""
    from infbrush_wsi.sources.collection import collect

    if not any(Path(source).is_dir() and Path(source).suffix != ".zarr" for source in sources):
        return "none"
    try:
        found = collect(sources, labels="folder")
    except DatasetError:
        return "none"
    loose = any("class folder" in entry.reason for entry in found.skipped)
    return "folder" if len(found.classes) > 1 and not loose else "none"
