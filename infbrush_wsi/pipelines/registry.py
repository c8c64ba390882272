"""The pipeline of a model directory, whichever system it is of."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infbrush_wsi.errors import CheckpointError
from infbrush_wsi.models.bundle import read_info

if TYPE_CHECKING:
    import torch

PIPELINES = {
    "infbrush": "infbrush_wsi.pipelines.infbrush:InfBrushPipeline",
    "infd": "infbrush_wsi.pipelines.infd:InfdPipeline",
    "infdiff": "infbrush_wsi.pipelines.infdiff:InfDiffPipeline",
    "multilevel": "infbrush_wsi.pipelines.multilevel:MultilevelPipeline",
}
"""By the system that a model's record names; imported on use."""


def open_pipeline(directory: str | Path, device: str | torch.device | None = None) -> Any:
    """Load a model directory of any system.

    Args:
        directory: as `infbrush train --out` writes it, or the name of a model that comes with the package.
        device: None: the first CUDA device if there is one, else the CPU.

    Raises:
        CheckpointError: if it is not a complete, undamaged model directory of a known system.
    """
    name = read_info(directory).system
    if name not in PIPELINES:
        raise CheckpointError(
            f"the model in {directory} is of the system {name!r}; this version opens {', '.join(PIPELINES)}"
        )
    module, kind = PIPELINES[name].split(":")
    return getattr(import_module(module), kind).from_pretrained(directory, device)
