"""Does a training step cost the same whatever the size of the image? Peak memory and time by image size.

    python benchmarks/train_step.py [--quick] [--steps N] [--json PATH]

A step takes 65,536 points of one image. The images are phantom slides of 512², 1024², 2048² and 4096² pixels, written
as pyramidal TIFF and read back through OpenSlide, pixel cache and data set, as in training; the model is the 'tiny'
preset, whose grid has the same number of nodes for every window. Each size is measured in a process of its own.

'data' is the time to prepare a batch (a loader worker's part), 'step' forward, backward and update. 'peak' is the
largest resident memory of the process, 'work' that peak without what was resident before the first batch. 'cpu' is
the processor time of batch and step on all threads; unlike the others it hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

POINTS = 65_536
SIZES = (512, 1024, 2048, 4096)
QUICK_SIZES = (512, 2048)
WARM_UP = 2
RESULT = Path(__file__).parent / "results" / "train_step.json"
QUANTITIES = ("peak_mib", "work_mib", "data_s", "step_s", "total_s", "cpu_s")


def make_loop(image: Path, size: int, out: Path) -> Any:
    """A training loop of the tiny preset with one window, the whole image, and one image a step."""
    from infbrush_wsi.training.build import build_dataset, build_denoiser, build_process, load_data, model_info
    from infbrush_wsi.training.config import RunConfig
    from infbrush_wsi.training.loop import TrainingLoop
    from infbrush_wsi.training.statistics import DataStatistics

    config = RunConfig.parse(
        {
            "data": {"sources": [str(image)], "window": size, "points": POINTS, "workers": 0, "sampler": "mixed"},
            "model": {"preset": "tiny"},
            "optim": {"batch": 1, "warmup": 1, "steps": 1000},
        }
    )
    data = load_data(config.data)
    denoiser = build_denoiser(config, data)
    process = build_process(config, DataStatistics((0.5, 0.2, 0.5), 0.4))  # known, so that nothing is read for them
    dataset = build_dataset(config, data, denoiser)
    return TrainingLoop(config, out, denoiser, process, dataset, model_info(config, data, process), {})


def resident() -> int:
    """Bytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def measure(image: Path, size: int, steps: int) -> dict[str, Any]:
    """Times of `steps` steps after a warm-up, and the peak memory of this process."""
    with tempfile.TemporaryDirectory() as out:
        loop = make_loop(image, size, Path(out))
        before = resident()
        data, step, cpu = [], [], []
        for number in range(WARM_UP + steps):
            start, cpu_start = time.perf_counter(), time.process_time()
            batch = loop.dataset[number]
            ready = time.perf_counter()
            loop._train_step(batch)
            data.append(ready - start)
            step.append(time.perf_counter() - ready)
            cpu.append(time.process_time() - cpu_start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pairs = len(batch.support.neighbours.indices)
    total = [a + b for a, b in zip(data, step, strict=True)]
    times = {"data_s": data, "step_s": step, "total_s": total, "cpu_s": cpu}
    medians = {name: statistics.median(values[WARM_UP:]) for name, values in times.items()}
    memory = {"peak_mib": peak / 2**20, "work_mib": (peak - before) / 2**20}
    return {"size": size, **memory, **medians, "neighbour_pairs": pairs, "steps": steps}


def run_apart(size: int, steps: int, folder: Path) -> dict[str, Any]:
    """Write the image, then measure in a fresh process."""
    image = folder / f"phantom-{size}.tif"
    write = (
        "import sys; from infbrush_wsi.phantom import write_phantom_slide as write; "
        f"write(sys.argv[1], 'Invasive', size=({size}, {size}))"
    )
    subprocess.run([sys.executable, "-c", write, str(image)], check=True)
    command = [sys.executable, __file__, "--measure", str(size), "--image", str(image), "--steps", str(steps)]
    # As the command line sets it: threads that spin while they wait would measure the other processes of the machine.
    environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    import numba
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "numba": numba.__version__,
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
    }


def print_table(results: list[dict[str, Any]]) -> None:
    """One line a size, each quantity with its ratio to the smallest size."""
    print(f"{'size':>6}" + "".join(f"{name:>20}" for name in QUANTITIES) + f"{'pairs':>12}")
    first = results[0]
    for result in results:
        cells = "".join(f"{result[name]:>12.3f} ({result[name] / first[name]:.2f})" for name in QUANTITIES)
        print(f"{result['size']:>6}{cells}{result['neighbour_pairs']:>12,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="512² and 2048² only, fewer steps; writes no JSON")
    parser.add_argument("--steps", type=int, default=None, help="measured steps (default 15, quick 4)")
    parser.add_argument("--json", type=Path, default=None, help=f"where to write the numbers (default {RESULT})")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--image", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    steps = options.steps or (4 if options.quick else 15)
    if options.measure:
        print(json.dumps(measure(options.image, options.measure, steps)))
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="infbrush-bench-") as folder:
        sizes = QUICK_SIZES if options.quick else SIZES
        results = [run_apart(size, steps, Path(folder)) for size in sizes]
    print_table(results)
    path = options.json or (None if options.quick else RESULT)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {"points": POINTS, "machine": machine(), "load_average_before": load, "results": results}
        path.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
