"""Scalars and pictures of a run: metrics.jsonl (always) and TensorBoard event files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infbrush_wsi.errors import OutputError
from infbrush_wsi.models.bundle import write_text

METRICS = "metrics.jsonl"
PREVIEWS = "previews"


class RunRecord:
    """Writes what happens in a run.

    Args:
        out: directory of the run.
        from_step: step at which the run (re)starts; later entries of an interrupted run are dropped.

    Raises:
        OutputError: if the disk is full or the directory may not be written, here and in all methods but `close`.
    """

    def __init__(self, out: Path, from_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.out = out
        path = out / METRICS
        kept = [line for line, row in _rows(path) if row["step"] <= from_step] if from_step else []
        with self._told():
            write_text(path, "".join(kept))
            self._file = path.open("a")
            self._board = SummaryWriter(str(out / "tensorboard"), purge_step=from_step + 1)

    def scalars(self, step: int, **values: float) -> None:
        """Add one row."""
        with self._told():
            self._file.write(json.dumps({"step": step} | {k: round(v, 7) for k, v in values.items()}) + "\n")
            self._file.flush()
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def picture(self, step: int, image: NDArray[np.uint8]) -> Path:
        """Add a picture (h, w, 3) and return where the PNG is."""
        folder = self.out / PREVIEWS
        path = folder / f"step-{step:07d}.png"
        with self._told():
            folder.mkdir(exist_ok=True)
            Image.fromarray(image).save(path)
            self._board.add_image("preview", image, step, dataformats="HWC")
        return path

    def close(self) -> None:
        """Flush and close; a full disk has been told by whoever wrote last."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._board.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot write the log of the run in {self.out}: {error.strerror or error}; checkpoints are kept"
            ) from error


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
