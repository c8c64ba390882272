"""A model directory: ``infbrush.json`` (facts) and a folder for each network (diffusers layout: config, safetensors).

A directory is replaced part by part through renames, so a reader never finds half-written weights, and the facts,
which hold the hash of the weights, are written last.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from infbrush_wsi.errors import CheckpointError, ConfigError, OutputError
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.models.limits import check_arguments
from infbrush_wsi.models.shipped import model_directory, shipped_models

INFO_FILE = "infbrush.json"
WEIGHTS_HASH, NETWORK_HASHES = "weights_sha256", "networks_sha256"


@dataclass(frozen=True)
class ModelBundle:
    """Networks with their facts.

    Attributes:
        networks: diffusers `ModelMixin`s by the name of their folder, for example 'denoiser'.
        info: what they were trained for.
        weights_sha256: of the safetensors file it was loaded from or saved to; of all files' hashes if it is several.
        directory: where these lie; None for a model that was never on disk.
    """

    networks: Mapping[str, Any]
    info: ModelInfo
    weights_sha256: str
    directory: Path | None = None

    @property
    def denoiser(self) -> Any:
        """The network called 'denoiser'."""
        return self.networks["denoiser"]

    @classmethod
    def save(cls, directory: Path, networks: Mapping[str, Any], info: ModelInfo, *, half: bool = False) -> ModelBundle:
        """Write a model directory, replacing networks that are there; other files stay.

        Args:
            directory: created if it is not there.
            networks: diffusers `ModelMixin`s by the name of their folder.
            info: their facts.
            half: store the weights as float16, half as large; they are computed with as float32 all the same.

        Raises:
            OutputError: if it cannot be written; what was there before is kept.
        """
        fresh = {name: directory / f".{name}.partial-{os.getpid()}" for name in networks}
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name, network in networks.items():
                shutil.rmtree(fresh[name], ignore_errors=True)
                stored = copy.deepcopy(network).half() if half else network
                stored.save_pretrained(fresh[name], safe_serialization=True)
            hashes = {name: _hash(_weights(folder)) for name, folder in fresh.items()}
            _replace(directory, fresh, info.to_dict() | _hash_record(hashes))
        except (OSError, SafetensorError) as error:
            raise OutputError(f"cannot write the model to {directory}: {error}") from error
        finally:
            for folder in fresh.values():
                shutil.rmtree(folder, ignore_errors=True)
        return cls(networks, info, _joint(hashes), directory)

    @classmethod
    def load(
        cls, directory: str | Path, classes: Mapping[str, Any], *, optional: tuple[str, ...] = (), verify: bool = True
    ) -> ModelBundle:
        """Read a model directory.

        Args:
            directory: as written by `save`, or the name of a model that comes with the package.
            classes: the diffusers model class of each network by the name of its folder.
            optional: names of networks that may be absent.
            verify: compare the hashes of the weights with the record.

        Raises:
            CheckpointError: if something is missing, damaged, or of another system or version.
        """
        directory = model_directory(directory)
        record = _read_record(directory)
        expected = record.pop(WEIGHTS_HASH, None), record.pop(NETWORK_HASHES, {})
        info = ModelInfo.from_dict(record)
        present = [name for name in classes if name not in optional or (directory / name).is_dir()]
        hashes = {name: _hash(_weights(directory / name)) for name in present}
        if verify and (_joint(hashes), hashes if len(hashes) > 1 else {}) != expected:
            raise CheckpointError(
                f"the weights in {directory} ({', '.join(present)}) do not match the hash in {INFO_FILE}: they were "
                "damaged or replaced; copy the model again"
            )
        networks = {name: _network(directory / name, classes[name]) for name in present}
        return cls(networks, info, _joint(hashes), directory)


def _network(folder: Path, network_class: Any) -> Any:
    _check_config(folder / "config.json")
    try:
        # Never the pickled weights that diffusers would take where the others have another name.
        network = network_class.from_pretrained(folder, low_cpu_mem_usage=False, use_safetensors=True)
    except Exception as error:  # safetensors, json and diffusers each have their own
        raise CheckpointError(f"cannot load the weights in {folder}: {error}") from error
    # The file is mapped, and what lies in it unaligned is slower to multiply and rounds differently.
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()
    return network.eval()


def _check_config(path: Path) -> None:
    """Refuse a network's arguments of which it would be built for ever, or larger than any memory."""
    try:
        arguments = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(arguments, dict):
            raise ValueError("it holds no JSON object")
        check_arguments(arguments, str(path))
    except (OSError, ValueError, RecursionError, ConfigError) as error:
        raise CheckpointError(f"the network of {path.parent} cannot be made: {error}; copy the model again") from error


def _joint(hashes: Mapping[str, str]) -> str:
    """One hash for all networks; that of the only one if it is one."""
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return hashlib.sha256(json.dumps(dict(hashes), sort_keys=True).encode()).hexdigest()


def _hash_record(hashes: Mapping[str, str]) -> dict[str, Any]:
    several = {NETWORK_HASHES: dict(hashes)} if len(hashes) > 1 else {}
    return {WEIGHTS_HASH: _joint(hashes)} | several


def read_info(directory: str | Path) -> ModelInfo:
    """What a model says of itself, without its weights.

    Args:
        directory: as written by `ModelBundle.save`, or the name of a model that comes with the package.

    Raises:
        CheckpointError: if there is no record, or it is damaged or of another version.
    """
    record = _read_record(model_directory(directory))
    for key in (WEIGHTS_HASH, NETWORK_HASHES):
        record.pop(key, None)
    return ModelInfo.from_dict(record)


def _replace(directory: Path, fresh: Mapping[str, Path], record: dict[str, Any]) -> None:
    """Put new weights and their record in place of the old ones, or leave the old ones."""
    old = {name: directory / f".{name}.old-{os.getpid()}" for name in fresh}
    for name, folder in old.items():
        shutil.rmtree(folder, ignore_errors=True)
        if (directory / name).exists():
            (directory / name).replace(folder)
    try:
        for name, folder in fresh.items():
            folder.replace(directory / name)
        write_json(directory / INFO_FILE, record)
    except BaseException:
        for name, folder in old.items():
            shutil.rmtree(directory / name, ignore_errors=True)
            if folder.exists():
                folder.replace(directory / name)
        raise
    for folder in old.values():
        shutil.rmtree(folder, ignore_errors=True)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write JSON through a temporary file and a rename."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text through a temporary file and a rename: a full disk leaves what was there."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.write_text(text)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def recover_model(directory: Path) -> None:
    """Undo or finish what a killed process had begun to save, and remove what else it left.

    Only for who alone writes there. Networks that were put aside come back if the record, which is written last, is
    still theirs.
    """
    for old in directory.glob(".*.old-*"):
        name = old.name[1:].rsplit(".old-", 1)[0]
        with suppress(CheckpointError):  # no record, or no weights: nothing can be told, and a new model is on its way
            record = _read_record(directory)
            if _hash(_weights(old)) == record.get(NETWORK_HASHES, {}).get(name, record.get(WEIGHTS_HASH)):
                shutil.rmtree(directory / name, ignore_errors=True)
                old.replace(directory / name)
    for left in (*directory.glob(".*.old-*"), *directory.glob(".*.partial-*")):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _read_record(directory: Path) -> dict[str, Any]:
    path = directory / INFO_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{directory} is not a model directory: it has no {INFO_FILE}; give the --out of a training run"
            + (f" or one of {', '.join(shipped)}" if (shipped := shipped_models()) else "")
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(record, dict):
        raise CheckpointError(f"{path} must hold a JSON object")
    return record


def _weights(directory: Path) -> Path:
    found = sorted(directory.glob("*.safetensors"))
    if len(found) != 1 or not found[0].is_file():
        raise CheckpointError(f"{directory} must hold one safetensors file, it holds {len(found)}")
    return found[0]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
