"""Running a batch of writing tasks on whatever scheduler dask is set to, with progress."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from infbrush_wsi.errors import OutputError
from infbrush_wsi.writers.sink import Progress

CLUSTER_OPTIONS = ("resources", "retries", "priority", "workers", "allow_other_workers")
"""What ``dask.annotate`` around the call may ask of a cluster."""


def run(tasks: Sequence[Any], progress: Progress) -> None:
    """Compute `tasks`, dask's delayed objects, each of which writes a unit; the first error ends it.

    With threads the tasks count themselves; on a cluster they are counted here, as they end.
    """
    from dask.base import compute

    goal = progress.done + len(tasks)
    client = _cluster_client()
    if client is None:
        compute(*tasks, traverse=False)
    else:
        _run_on_cluster(client, tasks, progress)
    progress.reach(goal)


def _cluster_client() -> Any:
    """The client of dask.distributed that a computation would go to now, or None."""
    from dask.base import get_scheduler

    distributed: Any = sys.modules.get("distributed")
    client = getattr(get_scheduler(), "__self__", None)
    return client if distributed is not None and isinstance(client, distributed.Client) else None


def _run_on_cluster(client: Any, tasks: Sequence[Any], progress: Progress) -> None:
    from dask.base import get_annotations

    distributed: Any = sys.modules["distributed"]
    options = {key: value for key, value in get_annotations().items() if key in CLUSTER_OPTIONS}
    waiting = {future.key: future for future in client.compute(list(tasks), **options)}
    try:
        for future in distributed.as_completed(waiting.values()):
            if future.status in ("cancelled", "lost"):
                raise OutputError("the cluster has dropped the work: its scheduler was restarted or closed")
            if future.status != "finished":
                future.result()
            # Let go of it: what nobody waits for is not done again when the worker that did it is lost.
            del waiting[future.key]
            progress.reach(progress.done + 1)
    except BaseException:
        # What is running on a worker goes on to its end; the rest is dropped.
        client.cancel(list(waiting.values()))
        raise
