"""One task of the comparison of the systems, on one thread; prints a line of JSON. It is started by systems.py.

python benchmarks/systems_job.py train --kind hne --system infd --minutes 5 --work DIR
python benchmarks/systems_job.py images --kind hne --system infd --images 64 --work DIR
python benchmarks/systems_job.py cost --kind hne --system infd --scale 2 --work DIR
python benchmarks/systems_job.py reconstruction --kind hne --system infd --images 8 --work DIR
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import distances
import equal_time
import harness

harness.like_the_command_line()

import systems_case as case  # noqa: E402 (torch is imported after the process is prepared)

RULES = {"crop": (case.WINDOW, 1), "whole": (40, 1)}
"""Whole windows at their size (texture, colour), and made small (layout)."""
FLOOR = "floor"
REPEATS = 3


def train(options: argparse.Namespace) -> dict[str, Any]:
    """All stages of a system, one after the other."""
    tiles = options.work / options.kind / "train"
    stages, first = [], None
    for number, stage in enumerate(case.SYSTEMS[options.system], 1):
        out = options.work / f"{options.kind}_{options.system}_{number}"
        config = partial(configured, tiles, stage, first)
        stages.append(equal_time.train_for(config, stage.share * options.minutes, out, preparation=first is not None))
        first = out
    return {"model": str(first), "stages": stages, "peak_mib": harness.peak_mib()}


def configured(tiles: Path, stage: case.Stage, first: Path | None, steps: int) -> Any:
    """A stage's configuration with the number of steps last."""
    return case.run_config(tiles, stage, steps, first)


def images(options: argparse.Namespace) -> dict[str, Any]:
    """Images of the model, or for the floor windows of training tiles, and their distances to held-out windows."""
    folder = options.work / f"{options.kind}_{options.system}_images"
    folder.mkdir(exist_ok=True)
    data, seconds = options.work / options.kind, 0.0
    if options.system == FLOOR:
        seen = sorted((data / "seen").rglob("*.png"))
        for number in range(options.images):
            (folder / f"{number:05d}.png").write_bytes(seen[number * len(seen) // options.images].read_bytes())
    else:
        seconds = draw(opened(options), options.images, folder)
    found = distances.between(data / "held_out", folder, RULES, stain=options.kind == "hne")
    return {"sample_cpu_s": seconds, "metrics": found}


def draw(pipeline: Any, count: int, folder: Path) -> float:
    """Write images of a window; processor seconds of one."""
    from PIL import Image

    side = case.WINDOW
    folder.mkdir(exist_ok=True)
    case.canvas_of(pipeline, count).render()  # compiles
    begun = time.process_time()
    for number in range(count):
        pixels = case.canvas_of(pipeline, number).read_region((0, 0), 0, (side, side))
        Image.fromarray(pixels).save(folder / f"{number:05d}.png")
    return (time.process_time() - begun) / count


def cost(options: argparse.Namespace) -> dict[str, Any]:
    """Processor time and memory of an image at a scale, and the picture of the first seed."""
    from PIL import Image

    pipeline = opened(options)
    side = round(case.WINDOW * options.scale)
    before, seconds = harness.resident_mib(), []
    for seed in (REPEATS, *range(REPEATS)):  # the first compiles
        begun = time.process_time()
        pixels = case.canvas_of(pipeline, seed, options.scale).read_region((0, 0), 0, (side, side))
        seconds.append(time.process_time() - begun)
        if seed == 0:
            Image.fromarray(pixels).save(options.work / f"{options.kind}_{options.system}_x{options.scale:g}.png")
    peak = harness.peak_mib()
    return {"cpu_s": statistics.median(seconds[1:]), "peak_mib": peak, "grown_mib": peak - before}


def reconstruction(options: argparse.Namespace) -> dict[str, float]:
    """Peak signal-to-noise ratio (dB) of held-out windows that were encoded and made again, by way and scale.

    At 2x their averages over 2 x 2 pixels are compared.
    """
    import numpy as np

    from infbrush_wsi.sources import open_source

    pipeline, wrong = opened(options), dict[str, list[float]]()
    windows = sorted((options.work / options.kind / "held_out").rglob("*.png"))
    for number in range(options.images):
        source = open_source(windows[number * len(windows) // options.images], mpp=1.0)
        real = source.read_region((0, 0), 0, (case.WINDOW, case.WINDOW)).astype(float)
        for factor in (1, 2):
            for way, pixels in case.again(pipeline, source, factor).items():
                cells = pixels.reshape(case.WINDOW, factor, case.WINDOW, factor, -1).mean(axis=(1, 3))
                wrong.setdefault(f"{way}, {factor}x", []).append(float(((cells - real) ** 2).mean()))
    return {name: float(10 * np.log10(255**2 / np.mean(errors))) for name, errors in wrong.items()}


def opened(options: argparse.Namespace) -> Any:
    """The pipeline of the last stage."""
    from infbrush_wsi.pipelines.registry import open_pipeline

    return open_pipeline(options.work / f"{options.kind}_{options.system}_{len(case.SYSTEMS[options.system])}", "cpu")


TASKS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "train": train, "images": images, "cost": cost, "reconstruction": reconstruction,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--kind", required=True)
    parser.add_argument("--system", required=True, choices=[*case.SYSTEMS, FLOOR])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--images", type=int)
    parser.add_argument("--scale", type=float)
    options = parser.parse_args()
    print(json.dumps(TASKS[options.task](options)))


if __name__ == "__main__":
    main()
