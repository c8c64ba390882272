"""The state of a whole canvas recomputed from the features of all its pixels, in bounded memory and linear time.

All tiles advance together, and in every step their parts of each global sum are added up (`engine.StepEngine`). What
the sums come to is the plan of which every further such sweep would find the same again.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infbrush_wsi.canvas.engine import StepEngine
from infbrush_wsi.canvas.generator import Generator
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.stage import Stage
from infbrush_wsi.canvas.trajectory import FrameState
from infbrush_wsi.domain import Lattice
from infbrush_wsi.operators.partial import GridPartial

SWEEP_PIXELS = 1 << 20
"""Frames of more pixels than that are not run on all of them at once."""
TILE = 256


def swept_state(generator: Generator, stage: Stage, folder: Path | None, progress: Progress | None) -> FrameState:
    """The state of a stage of one frame under one condition, from all of its pixels.

    Args:
        generator: model and settings.
        stage: finest and coarsest at once.
        folder: for scratch files; None: the system's.
        progress: called with (tiles done, tiles in all).

    Returns:
        The state, with T x_0 of all pixels, row by row.

    Raises:
        OutputError: if the scratch disk is full.
    """
    record = _Record()
    spec = replace(generator.spec, lattice=Lattice.regular(stage.pixels, stage.unit), ratio=1.0, tile=TILE)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dense-", dir=folder) as scratch:
        engine = StepEngine(
            generator.denoiser, generator.process, spec, generator.conditions, generator.sigma, Path(scratch),
            nodes=stage.grid, record=record,
        )  # fmt: skip
        clean = engine.render(progress)
        values = np.array(clean.open(), np.float16).reshape(stage.pixels.count, -1)
    return FrameState((0,), torch.stack(record.grids), record.all_sums, None, torch.from_numpy(values))


class _Record:
    """The values of all global sums, as `FrameState` holds them."""

    def __init__(self) -> None:
        self.grids: list[Tensor] = []
        self.sums: list[list[Any]] = []

    def __call__(self, number: int, total: Any, value: Any) -> None:
        if number == len(self.sums):
            self.sums.append([])
        if isinstance(total, GridPartial):
            self.grids.append(value.to(torch.float16).cpu())
            self.sums[-1].append(None)
        else:
            self.sums[-1].append(tuple(part.cpu() for part in value))

    @property
    def all_sums(self) -> tuple[tuple[Any, ...], ...]:
        return tuple(tuple(step) for step in self.sums)
