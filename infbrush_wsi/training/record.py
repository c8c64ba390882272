"""Scalars and pictures of a run: metrics.jsonl (always) and TensorBoard event files."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

METRICS = "metrics.jsonl"
PREVIEWS = "previews"


class RunRecord:
    """Writes what happens in a run.

    Args:
        out: directory of the run.
        from_step: step at which the run (re)starts; later entries of an interrupted run are dropped.
    """

    def __init__(self, out: Path, from_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.out = out
        path = out / METRICS
        kept = [line for line, row in _rows(path) if row["step"] <= from_step] if from_step else []
        path.write_text("".join(kept))
        self._file = path.open("a")
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=from_step + 1)

    def scalars(self, step: int, **values: float) -> None:
        """Add one row."""
        self._file.write(json.dumps({"step": step} | {k: round(v, 7) for k, v in values.items()}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, image: NDArray[np.uint8]) -> Path:
        """Add a picture (h, w, 3) and return where the PNG is."""
        folder = self.out / PREVIEWS
        folder.mkdir(exist_ok=True)
        path = folder / f"step-{step:07d}.png"
        Image.fromarray(image).save(path)
        self._board.add_image("preview", image, step, dataformats="HWC")
        return path

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
        self._board.close()


def read_metrics(out: Path) -> list[dict[str, float]]:
    """Rows of metrics.jsonl."""
    return [row for _, row in _rows(out / METRICS)]


def _rows(path: Path) -> list[tuple[str, dict[str, float]]]:
    """Complete lines with what they say: a killed process may leave half a line at the end, a disk any damage."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        with suppress(ValueError, RecursionError):
            row = json.loads(line) if line.endswith("\n") else None
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                found.append((line, row))
    return found
