"""What every benchmark shares: options, timing of alternatives side by side, the machine, and the JSON."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
POINTS = 65_536
"""Points of one image in a training step, as published."""


def like_the_command_line() -> None:
    """Let waiting threads sleep and keep freed memory, as the command line does. Call it before torch is imported.

    Threads that spin while they wait measure the other processes of the machine.
    """
    from infbrush_wsi._process import prepare_process

    prepare_process()


def shared_data() -> Path:
    """Folder of the sample data: INFBRUSH_SHARED_DATA, else ``shared/data`` beside the project; it may be absent."""
    return Path(os.environ.get("INFBRUSH_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the two options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of it, in under a minute; no file without --json")
    parser.add_argument("--json", type=Path, default=None, help="where to write the numbers (default: results/)")
    return parser


def compare(
    calls: Mapping[str, Callable[[], object]], repeat: int, warm_up: int = 1, few: Mapping[str, int] = {}
) -> dict[str, float]:
    """Median seconds of each call. The calls take turns, so that a slow minute of the machine meets all of them.

    Args:
        calls: by name.
        repeat: rounds in which every call is timed once.
        warm_up: rounds before, not timed.
        few: calls that take too long for that, and in how many of the rounds they are timed; they are not warmed up.
    """
    for _ in range(warm_up):
        for name, call in calls.items():
            if name not in few:
                call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for done in range(repeat):
        for name, call in calls.items():
            runs = few.get(name, repeat)
            if (done + 1) * runs // repeat > done * runs // repeat:
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items() if values}


def peak_mib() -> float:
    """Largest resident memory of this process so far (Linux).

    Not from getrusage: there a process inherits the peak of the one that started it.
    """
    return _status("VmHWM")


def resident_mib() -> float:
    """Memory of this process that is resident now (Linux)."""
    return _status("VmRSS")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def server(*preload: str) -> Any:
    """Where processes are forked from: one that has imported modules, which takes seconds, and done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    forkserver.ensure_running()
    return context


def call_apart(context: Any, function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a process of its own, whose peak memory is then its own.

    Args:
        context: of `server`.
        function: of a module.
        *arguments: of its call.
    """
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def run_apart(script: str, *arguments: object) -> dict[str, Any]:
    """Run ``script arguments`` in a process of its own, whose peak memory is then its own, and read what it found.

    Args:
        script: path; it prints one line of JSON last.
        *arguments: of its command line.
    """
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_once(known: Path, script: str | Path, *arguments: object) -> dict[str, Any]:
    """`run_apart` on one thread, or what it found in an earlier call.

    Args:
        known: file of what it found, so that a stopped call goes on.
        script: path; it prints one line of JSON last.
        *arguments: of its command line.
    """
    if not known.exists():
        command = [sys.executable, str(script), *map(str, arguments)]
        alone = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=alone)
        known.write_text(done.stdout.splitlines()[-1])
    found: dict[str, Any] = json.loads(known.read_text())
    return found


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    import numba
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return {
        "cpu": model,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": cores,
        "load_average": os.getloadavg()[0],
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "numba": numba.__version__,
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
    }


def finish(
    name: str, options: argparse.Namespace, ratios: Mapping[str, float], results: Any, facts: Mapping[str, Any] = {}
) -> None:
    """Print the ratios and write the record.

    Args:
        name: of the benchmark; the file is ``results/<name>.json`` unless `options` say another.
        options: of `make_parser`.
        ratios: flat, by key.
        results: everything measured.
        facts: settings that the numbers depend on.
    """
    for key, value in ratios.items():
        print(f"{key} = {value:.3f}")
    path = options.json or (None if options.quick else RESULTS / f"{name}.json")
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"benchmark": name, "quick": options.quick, "ratios": {k: round(v, 4) for k, v in ratios.items()}}
    record |= {**facts, "machine": machine(), "results": results}
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(path)
