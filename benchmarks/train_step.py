"""Does a training step cost the same whatever the size of the image? Time and peak memory by image size.

    python benchmarks/train_step.py [--quick] [--preset small] [--steps N] [--json PATH]

A step takes 65,536 points of one image. The images are slides of 512² to 16384² pixels, made of phantoms, written as
pyramidal JPEG TIFF and read back through OpenSlide, pixel cache (warm) and data set, as in training; the window is
the whole image and the model's grid has the same number of nodes for every window. Each size is measured in a process
of its own; the smallest and the largest take turns, so that a slow minute of the machine meets both.

'data' is the time to prepare a batch (a loader worker's part), 'step' forward, backward and update, 'total' both, one
after the other. 'peak' is the largest resident memory of the process, 'work' that peak without what was resident
before the first batch. 'cpu' is the processor time of both on all threads.

'loader_wait_fraction' is the share of time that a real run with one loader worker waits for batches, as its own log
says, without the first steps: on a slide of Aperio where the sample data are (INFBRUSH_SHARED_DATA, else
../shared/data), on a phantom elsewhere. Its cache is empty at first.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import harness
import slides
import training_case

SIZES = (512, 1024, 2048, 4096, 8192, 16384)
QUANTITIES = ("peak_mib", "work_mib", "data_s", "step_s", "total_s", "cpu_s")
WARM_UP = 1
WAIT_WINDOW = 2048
SVS = Path("wsi/cmu-1-small-region.svs")


class Measured:
    """A process that makes training steps when it is asked to.

    Args:
        context: that starts it.
        image: to train on.
        size: its side.
        preset: of the model.
        cache: warm.
    """

    def __init__(self, context: Any, image: Path, size: int, preset: str, cache: Path) -> None:
        self.size = size
        self._steps: list[dict[str, float]] = []
        self._pipe, self._process = start(context, training_case.serve_steps, image, size, preset, cache)

    def step(self) -> None:
        """One step."""
        self._pipe.send("step")
        self._steps.append(self._pipe.recv())

    def finish(self) -> dict[str, Any]:
        """Medians without the first steps, and the memory."""
        self._pipe.send(None)
        memory = self._pipe.recv()
        self._process.join()
        steps = self._steps[WARM_UP:]
        times = {name: statistics.median(step[name] for step in steps) for name in steps[0]}
        return {"size": self.size, **memory, **times, "steps": len(steps)}


def start(context: Any, target: Callable[..., None], *arguments: object) -> tuple[Connection, Any]:
    """A process that talks through a pipe; its failure ends the conversation with an EOFError."""
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments))
    process.start()
    theirs.close()
    return ours, process


def by_size(context: Any, options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """The smallest and the largest size side by side, the others one after the other."""
    ends, between = (SIZES[0], SIZES[-1]), () if options.quick else SIZES[1:-1]
    results = {}
    for sizes in (ends, *((size,) for size in between)):
        running, notes = [], {}
        for size in sizes:
            image, cache = folder / f"{size}.tif", folder / f"cache-{size}"
            notes[size] = slides.write_slide(image, size, repeat=options.quick)
            seconds = training_case.warm_cache(image, cache)
            print(f"{size}²: {notes[size]}, decoded in {seconds:.1f} s", flush=True)
            running.append(Measured(context, image, size, options.preset, cache))
        for _ in range(WARM_UP + options.steps):
            for process in running:
                process.step()
        for process in running:
            results[process.size] = process.finish() | {"image": notes[process.size]}
    return [results[size] for size in sorted(results)]


def waiting(context: Any, options: argparse.Namespace, folder: Path) -> tuple[float, dict[str, Any]]:
    """Share of time that a training run waits for its loader worker, and what it was measured on."""
    root = harness.shared_data()
    image, what = root / SVS, SVS.name
    if not image.is_file():
        image = folder / "waiting.tif"
        what = slides.write_slide(image, 4096, repeat=options.quick)
    warm_up = 1 if options.quick else 3
    pipe, process = start(
        context, training_case.run_waiting, image, WAIT_WINDOW, options.preset, warm_up + options.steps
    )
    reports = pipe.recv()[warm_up:]
    process.join()
    seconds = sum(report["seconds_per_step"] for report in reports)
    waited = sum(report["seconds_per_step"] * report["waiting_for_data"] for report in reports)
    facts = {"image": what, "window": WAIT_WINDOW, "steps": len(reports), "seconds_per_step": seconds / len(reports)}
    return waited / seconds, facts


def print_table(results: list[dict[str, Any]]) -> None:
    """One line a size, each quantity with its ratio to the smallest size."""
    print(f"{'size':>6}" + "".join(f"{name:>20}" for name in QUANTITIES) + f"{'pairs':>12}")
    first = results[0]
    for result in results:
        cells = "".join(f"{result[name]:>12.3f} ({result[name] / first[name]:.2f})" for name in QUANTITIES)
        print(f"{result['size']:>6}{cells}{result['neighbour_pairs']:>12,}")


def main() -> None:
    parser = harness.make_parser(__doc__)
    parser.add_argument("--preset", choices=("small", "tiny"), default="small", help="model (default small)")
    parser.add_argument("--steps", type=int, default=None, help="measured steps (default 10, quick 1)")
    options = parser.parse_args()
    options.steps = options.steps or (1 if options.quick else 10)
    harness.like_the_command_line()
    load = os.getloadavg()[0]
    context = harness.server("infbrush_wsi.training.build", "infbrush_wsi.training.loop", "training_case")
    with tempfile.TemporaryDirectory(prefix="infbrush-bench-") as folder:
        results = by_size(context, options, Path(folder))
        print_table(results)
        wait, wait_facts = waiting(context, options, Path(folder))
    first, last = results[0], results[-1]
    ratios = {
        "time_16384_vs_512": last["total_s"] / first["total_s"],
        "memory_16384_vs_512": last["peak_mib"] / first["peak_mib"],
        "loader_wait_fraction": wait,
    }
    facts = {"preset": options.preset, "points": harness.POINTS, "load_average_before": load, "waiting": wait_facts}
    harness.finish("train_step", options, ratios, results, facts)


if __name__ == "__main__":
    main()
