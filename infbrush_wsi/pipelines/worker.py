"""Workers of a Dask cluster: the model is loaded once in each, and its threads share the worker's cores."""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from infbrush_wsi._optional import require
from infbrush_wsi._process import prepare_process
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.pipelines.remote import Expected, RemoteRecipe, expect, forget, has_plan, is_here, keep_here

require("distributed", extra="distributed", purpose="render on a Dask cluster")

from distributed import WorkerPlugin  # noqa: E402 (its absence is told above)

if TYPE_CHECKING:
    from distributed import Client, Worker

    from infbrush_wsi.canvas.canvas import Canvas

POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class CanvasPlugin(WorkerPlugin):
    """Makes a worker ready to render a canvas, also a worker that joins later or comes back after a restart.

    Args:
        expected: what the canvas is made from.
    """

    def __init__(self, expected: Expected) -> None:
        self.expected = expected
        self.name = f"infbrush-{expected.token[:16]}"

    async def setup(self, worker: Worker) -> None:
        """Load the model; the worker answers its scheduler meanwhile."""
        if not is_here(self.expected.token):
            await asyncio.to_thread(self._prepare)

    def teardown(self, worker: Worker) -> None:
        """Forget the canvas."""
        forget(self.expected.token)

    def _prepare(self) -> None:
        prepare_process()
        limit_threads()
        expect(self.expected)


def limit_threads() -> None:
    """One thread for each of Dask's: they render side by side, and pools within them would fight for the cores."""
    for name in POOLS:
        # Numba refuses another number once its threads run.
        if name != "NUMBA_NUM_THREADS" or "numba" not in sys.modules:
            os.environ[name] = "1"
    import torch

    torch.set_num_threads(1)


def prepare_cluster(client: Client, canvas: Canvas, plan: str | Path | None = None) -> None:
    """Get a Dask cluster ready to render a canvas: computations of its levels then may go to that cluster.

    Every worker, and any that joins later, loads the model once and keeps the tiles that it computes. Workers need
    the model's directory at the same path, and the same version of this package. A worker in this process uses the
    canvas as it is.

    Args:
        client: of the cluster.
        canvas: of a pipeline, with the lazy engine.
        plan: file on a disk that all workers see, from which they read the plan; it is computed here and written if
            there is none. None: each worker computes its own.

    Raises:
        ConfigError: if the canvas uses the joint engine, or was not made by a pipeline.
        CheckpointError: if a worker does not find the model.
        PlanError: if a worker finds another model, or the plan is of another canvas.
        OutputError: if the plan cannot be written.
    """
    if canvas.spec.engine != "lazy":
        raise ConfigError("the joint engine renders in one process; use engine='lazy' with a cluster")
    if isinstance(canvas.recipe, RemoteRecipe):
        canvas.recipe = canvas.recipe.original
    recipe = pickle.dumps(canvas.portable())
    file = None if plan is None else _plan(canvas, Path(plan))
    keep_here(canvas)
    client.register_plugin(CanvasPlugin(Expected(canvas.token, recipe, file)))
    canvas.recipe = RemoteRecipe(canvas.token, canvas.recipe)


def _plan(canvas: Canvas, path: Path) -> Path:
    if path.exists():
        if not has_plan(canvas):
            canvas.load_plan(path)
    else:
        canvas.save_plan(path)
    return path.resolve()
