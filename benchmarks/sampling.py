"""What does it cost to generate an image, and does a pixel of a large one cost more than one of a small one?

    python benchmarks/sampling.py [--quick] [--json PATH]

The joint engine generates images of 512² to 4096² pixels (--quick: 256² and 512²) in a few sampler steps, tile by
tile, each in a process of its own. The model is the 'tiny' preset with random weights: what the pixels look like does
not matter here. 'render' is the whole of it, noise, steps, Wiener filter and pyramid; 'us_per_pixel_step' is that over
pixels and steps. 'peak' is the largest resident memory of the process, 'work' that without what was resident before.
At one size tiles of other sides and bfloat16 are measured too, bfloat16 beside float32 in one process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import harness
from pipeline_case import random_pipeline

harness.like_the_command_line()

SIZES, QUICK_SIZES = (512, 1024, 2048, 4096), (256, 512)
STEPS, QUICK_STEPS = 4, 2
WINDOW = 512
TILES = (128, 256, 512, 1024)


def render(pipeline: Any, size: int, steps: int, tile: int, precision: str = "float32") -> None:
    """Generate one image into a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="infbrush-bench-") as folder:
        size_xy, where = (size, size), Path(folder)
        canvas = pipeline(
            None, size_xy, num_inference_steps=steps, tile=tile, precision=precision, workdir=where, engine="joint"
        )
        canvas.render()


def measure(size: int, steps: int, tile: int) -> dict[str, Any]:
    """Time and peak memory of this process for one image."""
    pipeline = random_pipeline(WINDOW)
    render(pipeline, 128, 1, tile)  # loads the compiled kernels
    before = harness.resident_mib()
    repeat = 3 if size <= 512 else 1
    seconds = harness.compare({"render": lambda: render(pipeline, size, steps, tile)}, repeat, warm_up=0)["render"]
    peak = harness.peak_mib()
    row = {"size": size, "tile": tile, "steps": steps, "render_s": seconds, "peak_mib": peak, "work_mib": peak - before}
    return row | {"us_per_pixel_step": 1e6 * seconds / (size**2 * steps)}


def measure_precision(size: int, steps: int, tile: int) -> dict[str, Any]:
    """Time of float32 and bfloat16 in turns."""
    pipeline = random_pipeline(WINDOW)
    kinds = ("float32", "bfloat16")
    calls = {kind: lambda kind=kind: render(pipeline, size, steps, tile, kind) for kind in kinds}
    times = harness.compare(calls, repeat=3)
    return {"size": size, "tile": tile, "steps": steps} | {f"{kind}_s": times[kind] for kind in kinds}


def _print(row: dict[str, Any]) -> None:
    print(
        f"{row['size']:>5}², tiles of {row['tile']:>4}: {row['render_s']:8.2f} s for {row['steps']} steps, "
        f"{row['us_per_pixel_step']:.2f} us a pixel and step, peak {row['peak_mib']:.0f} MiB (work "
        f"{row['work_mib']:.0f})"
    )


def main() -> None:
    parser = harness.make_parser(__doc__)
    parser.add_argument("--measure", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    from infbrush_wsi.pipelines.infbrush import DEFAULT_TILE

    sizes, steps = (QUICK_SIZES, QUICK_STEPS) if options.quick else (SIZES, STEPS)
    runs = [(size, DEFAULT_TILE) for size in sizes]
    middle = sizes[len(sizes) // 2 - 1 if options.quick else 1]
    runs += [] if options.quick else [(middle, tile) for tile in TILES if tile != DEFAULT_TILE]
    rows = []
    for size, tile in runs:
        rows.append(harness.run_apart(__file__, "--measure", size, steps, tile))
        _print(rows[-1])
    first, last = rows[0], rows[len(sizes) - 1]
    precision = measure_precision(middle, steps, DEFAULT_TILE)
    pair = f"{sizes[-1]}_vs_{sizes[0]}"
    ratios = {
        f"sampling_cost_per_pixel_{pair}": last["us_per_pixel_step"] / first["us_per_pixel_step"],
        f"sampling_memory_{pair}": last["peak_mib"] / first["peak_mib"],
        "sampling_bf16_vs_fp32": precision["bfloat16_s"] / precision["float32_s"],
    }
    facts = {"preset": "tiny", "weights": "random", "steps": steps, "precision": precision}
    harness.finish("sampling", options, ratios, rows, facts)


if __name__ == "__main__":
    main()
