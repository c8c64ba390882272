"""The training run that `train_step.py` measures: one image, one window, one image a step."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import harness
from harness import POINTS

harness.like_the_command_line()  # the processes are forked from one that has imported this

SIGMA = 1.0
STRIP = 8


def make_loop(
    image: Path,
    window: int,
    preset: str,
    out: Path,
    *,
    cache: Path | None = None,
    workers: int = 0,
    steps: int = 1000,
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> Any:
    """A training loop on one image; every step is reported."""
    from infbrush_wsi.training.build import load_data
    from infbrush_wsi.training.config import RunConfig
    from infbrush_wsi.training.infbrush import assemble
    from infbrush_wsi.training.loop import TrainingLoop

    folder = None if cache is None else str(cache)
    config = RunConfig.parse(
        {
            "data": {
                "sources": [str(image)], "window": window, "points": POINTS, "workers": workers, "cache_dir": folder
            },
            "model": {"preset": preset, "sigma": SIGMA},
            "optim": {"batch": 1, "warmup": 1, "steps": steps, "gradient_checkpointing": False},
            "record": {"log_every": 1, "checkpoint_every": steps},
        }
    )  # fmt: skip
    known = {"statistics": {"mean": [0.5, 0.2, 0.5], "std": 0.4}}  # so that nothing is read for them
    return TrainingLoop(config, out, assemble(config, load_data(config.data), known, 0, 1), report)


def warm_cache(image: Path, cache: Path) -> float:
    """Decode every tile of an image into the cache of `make_loop`, on two threads; returns the seconds."""
    from infbrush_wsi.fields.mollifier import Mollifier
    from infbrush_wsi.points.pixel_cache import PixelCache
    from infbrush_wsi.sources.registry import open_source

    start = time.perf_counter()
    with open_source(str(image)) as source, ThreadPoolExecutor(2) as threads:
        view = source.at(source.lattice.spacing.x)
        tiles = PixelCache(cache, apron=Mollifier(sigma=SIGMA).apron)
        rows, columns = tiles.grid(view)
        # In strips: neighbours then share what OpenSlide keeps decoded.
        strips = range(0, columns, STRIP)
        order = [(ty, tx) for left in strips for ty in range(rows) for tx in range(left, min(left + STRIP, columns))]
        for _ in threads.map(lambda where: tiles.tile(view, *where).shape, order):
            pass
    return time.perf_counter() - start


def serve_steps(pipe: Connection, image: Path, size: int, preset: str, cache: Path) -> None:
    """Make one training step for every message, and answer with its times; at the message None with the memory.

    Batch and step follow each other in this process, so that their sum is what a run costs without loader workers.
    """
    tiles = _tiles(cache)
    with tempfile.TemporaryDirectory() as out:
        loop = make_loop(image, size, preset, Path(out), cache=cache)
        before, pairs = _resident(), 0
        number = 0
        while pipe.recv() is not None:
            start, cpu_start = time.perf_counter(), time.process_time()
            batch = loop.dataset[number]
            ready = time.perf_counter()
            loop._train_step(batch)
            end = time.perf_counter()
            pairs = len(batch.support.neighbours.indices)
            cpu = time.process_time() - cpu_start
            pipe.send({"data_s": ready - start, "step_s": end - ready, "total_s": end - start, "cpu_s": cpu})
            number += 1
    if _tiles(cache) != tiles:
        raise RuntimeError(f"the cache of the {size}² image was not warm: tiles were decoded in training steps")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    memory = {"peak_mib": peak / 2**20, "work_mib": (peak - before) / 2**20}
    pipe.send({**memory, "mapped_tiles": tiles, "neighbour_pairs": pairs})


def run_waiting(pipe: Connection, image: Path, window: int, preset: str, steps: int) -> None:
    """Train for real with one loader worker, and answer with what every step reported."""
    reports: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as out:
        loop = make_loop(
            image, window, preset, Path(out), workers=1, steps=steps, report=lambda _, scalars: reports.append(scalars)
        )
        loop._steps(None)  # as `run`, without writing checkpoints and the model
    pipe.send(reports)


def _tiles(cache: Path) -> int:
    return sum(1 for _ in cache.rglob("*.npy"))


def _resident() -> int:
    """Bytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
