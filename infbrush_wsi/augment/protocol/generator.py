"""A generator for each fold, trained on the fold's training images and nothing else."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from infbrush_wsi.errors import CheckpointError
from infbrush_wsi.pipelines.infbrush import InfBrushPipeline
from infbrush_wsi.sources.collection import Item
from infbrush_wsi.training.checkpoint import checkpoints
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.run import train

Report = Callable[[int, dict[str, float]], None]


def fold_generator(
    items: Sequence[Item], config: Mapping[str, Any], folder: Path, report: Report | None = None
) -> InfBrushPipeline:
    """Train the generator of a fold, or load it if an earlier call has; one that was stopped goes on.

    Args:
        items: training images.
        config: sections of `RunConfig`, without sources and labels.
        folder: of the fold.
        report: called with (step, scalars).

    Raises:
        ConfigError: if the configuration is not valid, or the folder's run was begun with another.
        TrainingError, DatasetError: see `training.run.train`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "train.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "group", "mpp"])
        writer.writerows([Path(i.path).resolve(), i.label, i.group or "", i.mpp or ""] for i in items)
    data = dict(config.get("data", {})) | {
        "sources": [str(Path(i.path).resolve()) for i in items],
        "labels": str(table),
    }
    parsed = RunConfig.parse({**config, "data": data})
    model = folder / "model"
    try:
        return InfBrushPipeline.from_pretrained(model)
    except CheckpointError:
        train(parsed, model, resume=bool(checkpoints(model)), report=report)
    return InfBrushPipeline.from_pretrained(model)
