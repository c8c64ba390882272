"""Whether the Triton kernels can run here, and the little that they share."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import torch
from torch import Tensor

from infbrush_wsi._optional import require
from infbrush_wsi.errors import ConfigError

_OLDEST_CAPABILITY = (7, 0)


def interpreted() -> bool:
    """Whether Triton's interpreter is asked for: kernels then run on any device, slowly, for tests.

    ``TRITON_INTERPRET=1`` must be set before triton is imported, triton's own functions are made at import.
    """
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y")


def available(device: torch.device | None = None) -> tuple[bool, str]:
    """Whether the Triton kernels can run, and why (not). Cheap, imports no triton.

    Args:
        device: where the values are; None: the current GPU if there is one.
    """
    if importlib.util.find_spec("triton") is None:
        return False, "triton is not installed (pip install 'infbrush-wsi[gpu]')"
    if interpreted():
        return True, "TRITON_INTERPRET is set: the kernels run in Triton's interpreter"
    if device is not None and device.type != "cuda":
        return False, f"the Triton kernels run on a GPU, values are on {device}"
    if not torch.cuda.is_available():
        return False, "torch finds no GPU"
    # Compute capabilities are NVIDIA's; under ROCm torch reports numbers that mean something else.
    capability = torch.cuda.get_device_capability(device)
    if torch.version.hip is None and capability < _OLDEST_CAPABILITY:
        return False, f"Triton needs compute capability 7.0 or newer, the GPU has {capability[0]}.{capability[1]}"
    return True, f"triton is installed and the GPU is {torch.cuda.get_device_name(device)}"


def require_triton(values: Tensor, purpose: str) -> Any:
    """The triton module, if it can work on `values`.

    Raises:
        MissingExtraError: if triton is not installed.
        ConfigError: if the kernels cannot run on the device of `values`.
    """
    triton = require("triton", extra="gpu", purpose=purpose)
    usable, reason = available(values.device)
    if not usable:
        raise ConfigError(f"Triton cannot {purpose}: {reason}; choose another back end, or move the values to a GPU")
    return triton


def sum_dtype(*values: Tensor) -> torch.dtype:
    """What sums are kept in: float32, or float64 as soon as one of `values` is."""
    return torch.float64 if any(v.dtype == torch.float64 for v in values) else torch.float32


def blocks_grid(triton: Any, rows: int, channels: int) -> Any:
    """Launch grid of a kernel that gives ``ROWS`` rows times ``COLUMNS`` channels to a program."""
    return lambda blocks: (triton.cdiv(rows, blocks["ROWS"]), triton.cdiv(channels, blocks["COLUMNS"]))


def language_dtype(dtype: torch.dtype) -> Any:
    """Triton's name of a torch dtype."""
    import triton.language as language

    return getattr(language, str(dtype).removeprefix("torch."))
