"""What the fuzzer asks of a family of targets, and what is found of one input."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = (
    "reader",
    "store",
    "labels",
    "config",
    "model",
    "plan",
    "checkpoint",
    "embeddings",
    "resume",
    "validate",
    "page",
    "cli",
)
WEIGHTS = {"reader": 5, "store": 4, "labels": 4, "config": 4, "validate": 3, "cli": 3, "checkpoint": 2}
"""Shares of the inputs; 2 for families that are not listed."""
CASE = "case.json"
GOOD = ("success", "refused")

Plan = dict[str, Any]
"""What an input is: plain JSON, with 'mutations' as texts for people."""


@dataclass(frozen=True)
class Family:
    """Targets that share their inputs: a module of this folder or any other file.

    Attributes:
        name: of the module.
        prepare: makes the real inputs in a folder, if they are not there, and imports what the targets need.
        mutate: random numbers, folder of the real inputs, folder of the case → the plan; writes the mutated input.
        run: plan, folder of the case, folder for output → nothing; raises what the package raises.
    """

    name: str
    prepare: Callable[[Path], None]
    mutate: Callable[[random.Random, Path, Path], Plan]
    run: Callable[[Plan, Path, Path], None]


def load_family(name: str) -> Family:
    """A family by its name in `targets`, or by the path of a module."""
    for folder in (HERE, HERE.parent, HERE.parents[1]):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    if name.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(name).stem, name)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(f"targets.{name}")
    return Family(Path(name).stem, module.prepare, module.mutate, module.run)


def make_case(family: Family, seed: int, number: int, seeds: Path, case: Path) -> Plan:
    """Input `number`: the same for the same seed, whatever came before."""
    rng = random.Random(f"{seed}/{family.name}/{number}")  # noqa: S311
    case.mkdir(parents=True)
    plan = family.mutate(rng, seeds, case)
    (case / CASE).write_text(json.dumps(plan))
    return plan


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder with links as links and named pipes as such: whoever reads one waits for ever."""

    def copy(one: str, other: str) -> str:
        if Path(one).is_fifo():
            os.mkfifo(other)
            return other
        return str(shutil.copy2(one, other, follow_symlinks=False))

    shutil.copytree(source, target, symlinks=True, copy_function=copy)


class Clock:
    """Seconds since it was made in which a process did not only wait for a processor (Linux).

    On an idle machine these are wall-clock seconds; on a busy one an input is not blamed for what others compute.

    Args:
        process: number of the process, or 'self'.
    """

    def __init__(self, process: int | str = "self") -> None:
        self._tasks = Path(f"/proc/{process}/task")
        self._waited, self._started = self._waits(), time.monotonic()

    def seconds(self) -> float:
        """Until now."""
        waited = max((now - self._waited.get(task, 0) for task, now in self._waits().items()), default=0)
        return max(0.0, time.monotonic() - self._started - waited / 1e9)

    def _waits(self) -> dict[str, int]:
        """Nanoseconds that each thread has waited for a processor."""
        found = {}
        for task in self._tasks.glob("*"):
            with suppress(OSError, IndexError, ValueError):  # a thread may end meanwhile
                found[task.name] = int((task / "schedstat").read_text().split()[1])
        return found
