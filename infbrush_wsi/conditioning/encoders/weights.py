"""Weights of encoders: their hash, local files, and one clear error where they cannot be had."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infbrush_wsi.errors import CheckpointError, InfbrushError

if TYPE_CHECKING:
    from torch import Tensor, nn

NESTED = ("state_dict", "model_state_dict", "model")
"""Where other programs put the weights in a file that holds more."""


def state_dict_sha256(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors in the order of their names: 64 hexadecimal digits.

    The same for the same weights in whatever order or file, on any device.
    """
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_weights(network: nn.Module, path: Path, name: str) -> None:
    """Load weights from a local file (safetensors, or a state dictionary of torch); a head that we drop may be there.

    Raises:
        CheckpointError: if the file is damaged or belongs to another network.
    """
    stored = _read(path)
    own = network.state_dict()
    missing = sorted(set(own) - set(stored))
    wrong = sorted(key for key in set(own) & set(stored) if own[key].shape != stored[key].shape)
    if missing or wrong:
        raise CheckpointError(
            f"{path} does not hold the weights of the encoder {name!r}: {len(missing)} are missing and {len(wrong)} "
            f"have another shape ({', '.join((missing + wrong)[:3])}, ...)"
        )
    network.load_state_dict({key: stored[key] for key in own})


def _read(path: Path) -> dict[str, Any]:
    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"there is no file of weights at {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Never a pickle of anything else than tensors.
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch meets damaged files with many kinds of errors.
        raise CheckpointError(f"the weights {path} cannot be read: {first_line(error)}") from error
    for key in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise CheckpointError(f"{path} holds no state dictionary of tensors")
    return dict(found)


@contextmanager
def obtaining(name: str, how: str) -> Iterator[None]:
    """Turn whatever a library raises while it finds, downloads and loads weights into one error.

    Args:
        name: of the encoder.
        how: the weights are got, as the end of the message.

    Raises:
        CheckpointError: in place of any other error than this package's own.
    """
    try:
        yield
    except InfbrushError:
        raise
    except Exception as error:
        # Each library has its own errors for no network, no licence accepted, no such tag, a damaged cache.
        raise CheckpointError(f"the encoder {name!r} cannot be loaded ({first_line(error)}); {how}") from error


def first_line(error: BaseException) -> str:
    """Kind and first line of an error: those of download libraries run over half a screen."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = lines[0].strip() if lines else ""
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def hub_hint(repository: str) -> str:
    """How weights of the Hugging Face hub get to a machine without a network."""
    return (
        f"on a machine with a network (and, if it asks for one, a licence accepted at huggingface.co) run "
        f"'hf download {repository}' and copy the folder that HF_HOME names here, or give a local file of weights"
    )
