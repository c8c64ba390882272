"""The Dask cluster that a command renders on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infbrush_wsi._optional import require
from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 20
LOST_AFTER, RESTART = "distributed.deploy.lost-worker-timeout", "10 minutes"
"""A killed worker's successor may take longer than Dask's 15 seconds to start on a busy machine, and Dask would give up
its place for good; without any worker a computation waits for ever."""


def check_cluster(scheduler: str | None, workers: int | None, engine: str) -> None:
    """Refuse what cannot be meant, before anything is loaded.

    Raises:
        ConfigError: for both options at once, no worker, an engine that renders in one process, or no address.
        MissingExtraError: if a cluster is asked for and dask.distributed is not installed.
    """
    if scheduler is None and workers is None:
        return
    if scheduler is not None and workers is not None:
        raise ConfigError("give --scheduler (a running cluster) or --workers (processes of this machine), not both")
    if engine != "lazy":
        raise ConfigError(f"--engine {engine} renders in one process; leave --scheduler and --workers out")
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers must be at least 1, not {workers}")
    if scheduler is not None and "://" not in scheduler and not Path(scheduler).is_file():
        raise ConfigError(
            f"--scheduler must be the address of a Dask scheduler (tcp://HOST:PORT) or its scheduler file, not "
            f"{scheduler!r}; the sampler is chosen by --sampler"
        )
    require("distributed", extra="distributed", purpose="render on a Dask cluster")


@contextmanager
def cluster(scheduler: str | None, workers: int | None) -> Iterator[Client | None]:
    """A client of the cluster that was asked for, or None; `check_cluster` has found the options valid.

    Raises:
        ConfigError: if no scheduler answers.
    """
    if workers is not None:
        with _local(workers) as client:
            yield client
    elif scheduler is not None:
        with _connected(scheduler) as client:
            yield client
    else:
        yield None


@contextmanager
def _local(workers: int) -> Iterator[Client]:
    import logging

    import dask
    from distributed import Client, LocalCluster
    from distributed.system import MEMORY_LIMIT

    # Dask would give each worker the memory of its share of the cores.
    processes = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
        preload=["infbrush_wsi.cli.worker_preload"],
        memory_limit=MEMORY_LIMIT // workers,
        silence_logs=logging.ERROR,
    )
    with dask.config.set({LOST_AFTER: RESTART}), processes, Client(processes) as client:
        yield client


@contextmanager
def _connected(scheduler: str) -> Iterator[Client]:
    from distributed import Client
    from distributed.comm.addressing import parse_address
    from distributed.comm.registry import get_backend

    where: dict[str, Any] = {"address": scheduler} if "://" in scheduler else {"scheduler_file": scheduler}
    try:
        if "address" in where:
            # A client that stumbles over this stays the default one, and all that is computed later waits for it.
            get_backend(parse_address(scheduler, strict=True)[0])
        client = Client(timeout=CONNECT_SECONDS, **where)
    except (OSError, ValueError) as error:
        raise ConfigError(f"no Dask scheduler answers at {scheduler}: {error}") from error
    with client:
        yield client
