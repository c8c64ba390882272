"""Does memory, or do files, threads and temporary files grow in a long run?

    python benchmarks/robustness/soak.py [--kind reading|training] [--quick] [--json PATH]

Two processes, one after the other: 10,000 reads of random windows of all levels of a tiny canvas, in random order,
whose caches hold a part of it, so that tiles are rendered, kept, moved to disk and forgotten, and every 500 reads by a
fresh canvas; and 2,000 tiny training steps with a log, checkpoints and previews. After a warm-up of a fifth the
resident memory is noted at regular intervals. Growth is the mean of the last quarter of these over the mean of the
first, in per cent, and that of a fitted line from end to end.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import harness

READS, STEPS, QUICK = 10_000, 2_000, 20
"""The last: so many times less with --quick."""
SAMPLES, WARM_UP = 200, 0.2
COUNTED = ("files", "threads", "temporary")
CANVAS_READS = 500


class Samples:
    """What a process holds, noted now and then."""

    def __init__(self, total: int, scratch: Path) -> None:
        self._every, self._scratch = max(1, total // SAMPLES), scratch
        self._first = WARM_UP * total
        self.rows: list[dict[str, float]] = []

    def note(self, number: int) -> None:
        """After the warm-up, at every so many things done."""
        if number < self._first or number % self._every:
            return
        self.rows.append(
            {
                "done": number,
                "resident_mib": harness.resident_mib(),
                "files": len(list(Path("/proc/self/fd").iterdir())),
                "threads": threading.active_count(),
                "temporary": sum(1 for _ in self._scratch.iterdir()),
            }
        )

    def facts(self) -> dict[str, Any]:
        """Growth of each quantity; of memory in per cent, of the rest in numbers."""
        values = {key: np.array([row[key] for row in self.rows]) for key in self.rows[0]}
        quarter = max(1, len(self.rows) // 4)
        ends = slice(None, quarter), slice(-quarter, None)
        slope = np.polyfit(values["done"], values["resident_mib"], 1)[0] * (values["done"][-1] - values["done"][0])
        first, last = (float(values["resident_mib"][part].mean()) for part in ends)
        return {
            "samples": len(self.rows),
            "resident_mib": [round(first, 1), round(last, 1)],
            "growth_percent": round(100 * (last / first - 1), 3),
            "fitted_growth_percent": round(100 * float(slope) / first, 3),
            **{f"{key}_most": [int(values[key][part].max()) for part in ends] for key in COUNTED},
        }


def read(total: int, scratch: Path) -> dict[str, Any]:
    """Windows of a canvas."""
    import tiny

    from infbrush_wsi import InfBrushPipeline

    pipeline = InfBrushPipeline.from_pretrained(tiny.train_model(scratch.parent))
    samples, rng = Samples(total, scratch), np.random.default_rng(0)
    canvas, cold = None, 0
    for number in range(total):
        if number % CANVAS_READS == 0:
            canvas = tiny.make_canvas(pipeline, seed=number // CANVAS_READS % 3)  # one that was forgotten comes again
            cold += 1
        level = int(rng.integers(canvas.level_count))
        w, h = canvas.spec.shape.w, canvas.spec.shape.h
        size = tuple(int(side) for side in rng.integers(1, 80, 2))
        pixels = canvas.read_region((int(rng.integers(-20, w)), int(rng.integers(-20, h))), level, size)
        if pixels.shape != (size[1], size[0], 3):
            raise RuntimeError(f"a window of {size} has the shape {pixels.shape}")
        samples.note(number)
    return {"reads": total, "canvases": cold, **samples.facts()}


def train(total: int, scratch: Path) -> dict[str, Any]:
    """Steps of a run."""
    import tiny

    from infbrush_wsi.training.run import train as train_in

    samples = Samples(total, scratch)
    config = tiny.run_config(
        tiny.write_images(scratch.parent / "images"), steps=total, checkpoint_every=50, preview_every=100
    )
    train_in(config, scratch.parent / "run", report=lambda step, _: samples.note(step))
    kept = sorted(path.name for path in (scratch.parent / "run" / "checkpoints").iterdir())
    return {"steps": total, "checkpoints_left": kept, **samples.facts()}


KINDS: dict[str, tuple[Callable[[int, Path], dict[str, Any]], int]] = {
    "reading": (read, READS),
    "training": (train, STEPS),
}


def soak(kind: str, total: int) -> dict[str, Any]:
    """One kind in this process, with a folder of its own for temporary files."""
    harness.like_the_command_line()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="infbrush-soak-") as folder:
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        tempfile.tempdir = str(scratch)
        start = time.monotonic()
        found = KINDS[kind][0](total, scratch)
        gc.collect()
        found["temporary_left"] = sum(1 for _ in scratch.iterdir())
        tempfile.tempdir = None
    return found | {"seconds": round(time.monotonic() - start), "peak_mib": round(harness.peak_mib(), 1)}


def main() -> None:
    parser = harness.make_parser(__doc__)
    parser.add_argument("--kind", choices=tuple(KINDS), default=None, help="one of the two only")
    parser.add_argument("--alone", type=int, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(soak(options.kind, options.alone)))
        return
    found = {}
    for kind, (_, total) in KINDS.items():
        if options.kind in (None, kind):
            count = total // QUICK if options.quick else total
            found[kind] = harness.run_apart(__file__, "--kind", kind, "--alone", count)
            print(f"{kind}: {found[kind]}")
    growth = {f"{kind}_growth_percent": facts["growth_percent"] for kind, facts in found.items()}
    harness.finish("robustness_soak", options, growth, found)


if __name__ == "__main__":
    main()
