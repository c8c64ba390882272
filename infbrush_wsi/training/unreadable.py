"""Images that turn out to be unreadable while a run trains on them: left out, recorded and told."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from infbrush_wsi.errors import InfbrushError, TrainingError
from infbrush_wsi.models.bundle import write_json
from infbrush_wsi.training.task import Batch, Batches

MANIFEST = "manifest.json"
KEY = "unreadable_in_training"
"""Of the manifest, and of the facts in checkpoints: path, reason, step, and whether it is left out from then on."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivered:
    """A batch, and what its maker could not read.

    Attributes:
        batch: None if it could not be made at all.
        unreadable: reason by number of the image.
        error: why there is no batch.
    """

    batch: Batch | None
    unreadable: Mapping[int, str]
    error: InfbrushError | None = None

    def pin_memory(self) -> Delivered:
        """The same in page-locked memory; the loader calls this."""
        pinned: Any = None if self.batch is None else self.batch.pin_memory()  # type: ignore[attr-defined]
        return Delivered(pinned, self.unreadable, self.error)


class Deliveries(Dataset[Delivered]):
    """The batches of a data set with what could not be read; errors of this package come as values.

    A loader would turn an error of its worker into one text with a traceback in it.

    Args:
        dataset: item k is the batch of step k.
    """

    def __init__(self, dataset: Batches) -> None:
        self.dataset = dataset

    def __getitem__(self, step: int) -> Delivered:
        """The batch of a step."""
        take = getattr(self.dataset, "take_unreadable", dict)
        try:
            return Delivered(self.dataset[step], take())
        except InfbrushError as error:
            return Delivered(None, take(), error)
        except Exception as error:
            return Delivered(None, take(), TrainingError(f"{type(error).__name__}: {error}"))


class Unreadable:
    """The record of a run's unreadable images, in its manifest and in its checkpoints.

    Args:
        out: directory of the run.
        facts: of the run, which its checkpoints keep; changed in place.
        paths: of the images, by number.
        write: whether this process writes the manifest.
    """

    def __init__(self, out: Path, facts: dict[str, Any], paths: list[str], *, write: bool) -> None:
        self._out, self._facts, self._paths, self._write = out, facts, paths, write
        if self.entries:
            self._note()

    @property
    def entries(self) -> list[dict[str, Any]]:
        """One for each image: path, reason, step, left_out."""
        found = self._facts.get(KEY)
        known = {"path", "reason", "step", "left_out"}
        return [one for one in found if isinstance(one, dict) and set(one) == known] if isinstance(found, list) else []

    @property
    def left_out(self) -> dict[int, str]:
        """Reason by number of the image of those that no sample is taken of any more."""
        reasons = {entry["path"]: entry["reason"] for entry in self.entries if entry["left_out"]}
        return {number: reasons[path] for number, path in enumerate(self._paths) if path in reasons}

    def add(self, step: int, unreadable: Mapping[int, str], *, left_out: bool = False) -> None:
        """Record images, each once; one that is left out stays so."""
        known = {entry["path"]: entry for entry in self.entries}
        for number, reason in unreadable.items():
            path = self._paths[number]
            if path in known and (known[path]["left_out"] or not left_out):
                continue
            log.warning("skipped %s from step %d on: %s", path, step, reason)
            known[path] = {"path": path, "reason": reason, "step": step, "left_out": left_out}
        if list(known.values()) != self.entries:
            self._facts[KEY] = list(known.values())
            self._note()

    def _note(self) -> None:
        path = self._out / MANIFEST
        if self._write and path.is_file():
            write_json(path, json.loads(path.read_text()) | {KEY: self.entries})


def shared_board(workers: int) -> torch.Tensor:
    """What each loader worker reads at the moment, in shared memory: (workers, 2) process and image, -1 for none."""
    board = torch.full((max(workers, 1), 2), -1, dtype=torch.int64)
    board.share_memory_()
    return board
