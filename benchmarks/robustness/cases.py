"""What `kills.py` kills: tiny training runs and writes, what of them a kill can meet, and what they must come to."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import tiny
import torch
from killed import End, run_killed

from infbrush_wsi import InfBrushPipeline
from infbrush_wsi.training.checkpoint import checkpoints
from infbrush_wsi.training.run import train
from infbrush_wsi.writers import partial_folder

Files = dict[str, str]
"""Hashes of contents by path."""


class Case(ABC):
    """One run that is killed until it has come to its end.

    Attributes:
        name: of the variant.
        folder: all that it writes.
        expected: what an uninterrupted run of the variant leaves.
        changes: of files that one makes.
        seconds: that one takes.
    """

    def __init__(self, name: str, folder: Path, whole: tuple[Files, End] | None = None) -> None:
        self.name, self.folder = name, folder
        self.expected, end = whole or ({}, End(False, 1, 0.0))
        self.changes, self.seconds = end.changes, end.seconds
        folder.mkdir(parents=True)

    @abstractmethod
    def work(self) -> None:
        """Begin, or go on; in a process of its own."""

    @abstractmethod
    def finished(self) -> bool:
        """Whether the next process would find that all is done."""

    @abstractmethod
    def met(self) -> set[str]:
        """What the last kill has left half done."""

    @abstractmethod
    def files(self) -> Files:
        """All that was written."""

    def differences(self) -> set[str]:
        """Paths that are there and should not be, the other way round, or differ."""
        found = self.files()
        return {path for path in found | self.expected if found.get(path) != self.expected.get(path)}

    def whole(self) -> tuple[Files, End]:
        """What comes of it without a kill; what it imports on the way is imported here, for all that follow."""
        imported = self.folder.with_suffix(".modules")

        def work() -> None:
            self.work()
            imported.write_text("\n".join(sys.modules))

        end = run_killed(work, self.folder, None)
        for name in set(imported.read_text().split()) - set(sys.modules):
            with suppress(Exception):  # some are not found by their name
                importlib.import_module(name)
        files = self.files()
        self.forget()
        return files, end

    def forget(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder)


class TrainingCase(Case):
    """A run of one system, with or without a process that loads."""

    def __init__(self, images: Path, name: str, folder: Path, whole: tuple[Files, End] | None = None) -> None:
        super().__init__(name, folder, whole)
        chosen, workers = name.split("+")
        self.config = tiny.run_config(images, chosen, workers=int(workers))
        self.out = folder / "run"

    def work(self) -> None:
        """See `Case`."""
        torch.set_num_threads(1)
        train(self.config, self.out, resume=True)

    def finished(self) -> bool:
        """See `Case`."""
        return False  # the last process goes on to its end

    def met(self) -> set[str]:
        """See `Case`."""
        found = {"before the first checkpoint" if not checkpoints(self.out) else "after a checkpoint"}
        if any((self.out / "checkpoints").glob(".step-*")):
            found.add("in the writing of a checkpoint")
        if self.out.is_dir() and any(path.name.startswith(".") and path.name != ".lock" for path in self.out.iterdir()):
            found.add("in the writing of the model or a record")
        return found

    def files(self) -> Files:
        """The log without times; event files of TensorBoard are one a process and hold times."""
        found = {}
        for path in sorted(self.out.rglob("*")):
            if path.is_file() and "tensorboard" not in path.parts and path.name != ".lock":
                content = path.read_bytes()
                if path.name == "metrics.jsonl":
                    rows = [json.loads(line) for line in content.splitlines()]
                    kept = ("step", "loss", "opponent_loss", "learning_rate")
                    content = json.dumps([[row.get(key) for key in kept] for row in rows]).encode()
                found[str(path.relative_to(self.out))] = hashlib.sha256(content).hexdigest()
        return found


class RenderingCase(Case):
    """A write of a canvas."""

    FORMS: ClassVar[dict[str, dict[str, Any]]] = {
        "0.4": {"version": "0.4"}, "0.5": {"version": "0.5"}, "0.5 in shards": {"version": "0.5", "shard": 2}
    }  # fmt: skip

    def __init__(self, pipeline: Any, name: str, folder: Path, whole: tuple[Files, End] | None = None) -> None:
        super().__init__(name, folder, whole)
        self.pipeline, self.target = pipeline, folder / "image.ome.zarr"

    def work(self) -> None:
        """See `Case`."""
        torch.set_num_threads(1)
        canvas = tiny.make_canvas(self.pipeline)
        canvas.write_ome_zarr(self.target, chunk=tiny.CHUNK, name="image", resume=True, **self.FORMS[self.name])

    def finished(self) -> bool:
        """See `Case`."""
        return self.target.exists() and not partial_folder(self.target).exists()

    def met(self) -> set[str]:
        """See `Case`."""
        partial = partial_folder(self.target)
        if not (partial / "record.json").exists():
            return {"before the store was begun" if not self.target.exists() else "after the store was complete"}
        found = {"after the store was begun"}
        if any(partial.rglob("*.partial")):
            found.add("in the writing of a chunk")
        noted = sum(path.read_bytes().count(b" ") // 3 for path in partial.glob("journal-*"))
        if sum(1 for path in partial.glob("store-*/*/**/*") if _is_chunk(path)) > noted:
            found.add("between a chunk and its line in the journal")
        return found

    def files(self) -> Files:
        """See `Case`."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                if path.name in ("zarr.json", ".zattrs"):
                    content = json.dumps(_without_time(json.loads(content)), sort_keys=True).encode()
                found[str(path.relative_to(self.folder))] = hashlib.sha256(content).hexdigest()
        return found


def _is_chunk(path: Path) -> bool:
    return path.is_file() and path.suffix != ".partial" and path.name[0].isdigit()


def _without_time(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_time(each) for key, each in value.items() if key != "created"}
    return value


def _variants(folder: Path, make: Callable[..., Case], names: tuple[str, ...]) -> Callable[[int], Case]:
    """Cases of all variants by turns; what each comes to without a kill is found when it is first needed."""
    known: dict[str, tuple[Files, End]] = {}

    def case(number: int) -> Case:
        name = names[number % len(names)]
        if name not in known:
            known[name] = make(name, folder / f"whole-{number}").whole()
        return make(name, folder / f"{number}", known[name])

    return case


def training(folder: Path) -> Callable[[int], Case]:
    """Runs of every system, without and with a process that loads."""
    images = tiny.write_images(folder / "images")
    names = tuple(f"{name}+{workers}" for workers in (0, 1) for name in tiny.SYSTEMS)
    return _variants(folder, lambda *rest: TrainingCase(images, *rest), names)


def rendering(folder: Path) -> Callable[[int], Case]:
    """Writes in every form."""

    def train_model() -> None:
        torch.set_num_threads(1)
        tiny.train_model(folder)

    run_killed(train_model, folder, None)  # in a process of its own: this one must not compute
    pipeline = InfBrushPipeline.from_pretrained(folder / "model")
    return _variants(folder, lambda *rest: RenderingCase(pipeline, *rest), tuple(RenderingCase.FORMS))


KINDS: dict[str, Callable[[Path], Callable[[int], Case]]] = {"training": training, "rendering": rendering}
