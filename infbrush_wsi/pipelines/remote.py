"""A canvas in the tasks of a Dask cluster: its name travels, the workers know how to make it.

Condition maps and plans, which may be large, go to each worker once and not with every task.
"""

from __future__ import annotations

import pickle
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from infbrush_wsi.errors import PlanError

if TYPE_CHECKING:
    from infbrush_wsi.canvas.canvas import Canvas

_LOCK = threading.Lock()
_HERE: WeakValueDictionary[str, Canvas] = WeakValueDictionary()
_EXPECTED: dict[str, Expected] = {}
_PROBLEMS: dict[str, Exception] = {}


@dataclass(frozen=True)
class Expected:
    """What a worker makes a canvas from.

    Attributes:
        token: of the canvas.
        recipe: pickled, since unpickling it imports torch, which reads its settings then.
        plan: file of the plan, seen by all workers; None: each computes its own.
    """

    token: str
    recipe: bytes
    plan: Path | None

    def open(self) -> Canvas:
        """The canvas of this process, with its plan.

        Raises:
            CheckpointError: if there is no such model directory on this machine.
            PlanError: if the model there gives another canvas, or the plan cannot be used.
        """
        canvas: Canvas = pickle.loads(self.recipe).open()  # noqa: S301
        with _LOCK:
            if self.plan is not None and not has_plan(canvas):
                canvas.load_plan(self.plan)
        return canvas


def has_plan(canvas: Canvas) -> bool:
    """Whether the coarsest stage of a lazily rendered canvas is planned, computed here or loaded."""
    plan: Any = getattr(canvas.reader, "plan", None)
    return plan is not None and plan.has(plan.stages[-1], (0, 0))


def keep_here(canvas: Canvas) -> None:
    """Let workers inside this process use `canvas` itself for as long as it lives."""
    _HERE[canvas.token] = canvas


def is_here(token: str) -> bool:
    """Whether this process is the one that has the canvas."""
    return token in _HERE


def expect(expected: Expected) -> Canvas:
    """Take note of how tasks of a canvas find it in this process, and open it.

    Raises:
        CheckpointError, PlanError: see `Expected.open`; tasks that come nevertheless get the same error.
    """
    _EXPECTED[expected.token] = expected
    _PROBLEMS.pop(expected.token, None)
    try:
        return expected.open()
    except Exception as error:
        _PROBLEMS[expected.token] = error
        raise


def forget(token: str) -> None:
    """No more tasks of this canvas will come."""
    _EXPECTED.pop(token, None)
    _PROBLEMS.pop(token, None)


def find(token: str) -> Canvas:
    """The canvas of this process.

    Raises:
        PlanError: if this process was not prepared.
        CheckpointError, PlanError: if preparing it failed.
    """
    canvas = _HERE.get(token)
    if canvas is not None:
        return canvas
    if token in _PROBLEMS:
        raise _PROBLEMS[token]
    if token not in _EXPECTED:
        raise PlanError(
            "this process does not know the canvas that it shall render; call prepare_cluster(client, canvas) with the "
            "client of this very cluster before computing"
        )
    return _EXPECTED[token].open()


@dataclass(frozen=True)
class RemoteRecipe:
    """Takes the place of a canvas's recipe once a cluster is prepared for it.

    Attributes:
        token: of the canvas.
        original: the recipe whose place it takes; it does not travel.
    """

    token: str
    original: Any = None

    def portable(self, folder: Path, token: str) -> RemoteRecipe:
        """What travels with tasks."""
        return replace(self, original=None)

    def open(self) -> Canvas:
        """See `find`."""
        return find(self.token)
