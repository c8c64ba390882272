"""What does it cost to look into a giant canvas, to write one, and does anything show where its parts meet?

    python benchmarks/canvas.py [--quick] [--model DIR] [--seeds 3] [--sizes 2048 4096 ...] [--json PATH]

The model is 'tiny' with random weights on windows of 128²; with --model a trained one, whose pictures mean something.

* region: a canvas of 100,000² is opened, its thumbnail and random windows of 512² are read. 'cold' plans the frames
  that a window needs, 'warm' reads the same window again with its plan but none of its tiles ('after the plan');
  'stand_alone' is an image of 512² with its own plan, all at the same number of steps, in one process.
* write: canvases of 2048² to 16384² (--quick: 512² and 1024²) are written as OME-Zarr, one sampler step, 64 MiB of
  cache, each in a process of its own. The exponent is that of time against the number of pixels.
* seams: gradient energy and local variance on the borders of tiles and frames over the same elsewhere, mean of three
  canvases with its standard error, and the same for 'averaged': every frame rendered by itself, overlaps blended
  afterwards. 'vs_exact' is the energy on the borders of tiles over that on the same lines with the exact halo.
* levels: every level as it is computed against the box average of level 0, PSNR.
* exact: tiles with the exact halo against the whole canvas as one tile, largest difference of T x_0.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
from pipeline_case import random_pipeline

harness.like_the_command_line()

WINDOW, FRAME = 128, 128
GIANT = 100_000
SIZES, QUICK_SIZES = (2048, 4096, 8192, 16384), (512, 1024)
CACHE_MIB = 64
SEED = 5
PARTS = ("region", "picture", "write")


def make_pipeline(model: str | None) -> Any:
    """The trained model, or random weights."""
    if model is None:
        return random_pipeline(WINDOW)
    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

    return InfBrushPipeline.from_pretrained(model)


def make_canvas(pipeline: Any, size: int, steps: int, seed: int = SEED, **options: Any) -> Any:
    """A canvas of the first class, if the model has classes."""
    condition = pipeline.classes[0] if pipeline.classes else None
    return pipeline(condition, size=(size, size), seed=seed, num_inference_steps=steps, **options)


def measure_region(model: str | None, steps: int, windows: int) -> dict[str, Any]:
    """Times of a 100,000² canvas and the peak memory of this process."""
    pipeline = make_pipeline(model)
    make_canvas(pipeline, 200, 1).read_region((0, 0), 0, (200, 200))  # loads the compiled kernels
    with tempfile.TemporaryDirectory(prefix="infbrush-bench-") as folder:
        plan = Path(folder) / "giant.plan.safetensors"
        start = time.perf_counter()
        make_canvas(pipeline, GIANT, steps).save_plan(plan)
        found: dict[str, Any] = {"plan_s": time.perf_counter() - start, "plan_mib": plan.stat().st_size / 2**20}
        start = time.perf_counter()
        giant = make_canvas(pipeline, GIANT, steps).load_plan(plan)
        found["open_s"] = time.perf_counter() - start
    start = time.perf_counter()
    graph = giant.to_dask(0, chunk=1024).__dask_graph__()
    found |= {"graph_s": time.perf_counter() - start, "graph_tasks": len(dict(graph))}
    start = time.perf_counter()
    found["thumbnail_side"] = max(giant.thumbnail(512).shape)
    found["thumbnail_s"] = time.perf_counter() - start
    found |= compare_windows(pipeline, giant, steps, windows)
    return found | {"peak_mib": harness.peak_mib()}


def compare_windows(pipeline: Any, giant: Any, steps: int, windows: int) -> dict[str, Any]:
    """Stand-alone images and windows of the giant canvas in turns, medians."""
    import numpy as np

    rng = np.random.default_rng(1)
    times: dict[str, list[float]] = {"stand_alone": [], "cold": [], "warm": []}
    for _ in range(windows):
        x, y = (int(v) for v in rng.integers(1000, GIANT - 3000, 2))
        alone = make_canvas(pipeline, 512, steps)
        todo = {"stand_alone": (alone, 0, 0), "cold": (giant, x, y)}
        for name, (canvas, x0, y0) in todo.items():
            times[name].append(_seconds(lambda canvas=canvas, at=(x0, y0): canvas.read_region(at, 0, (512, 512))))
        giant.reader.forget_tiles()
        times["warm"].append(_seconds(lambda at=(x, y): giant.read_region(at, 0, (512, 512))))
    return {f"{name}_s": float(np.median(values)) for name, values in times.items()} | {"windows": times}


def _seconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure_write(model: str | None, size: int) -> dict[str, Any]:
    """Time and peak memory of this process for writing one canvas."""
    from infbrush_wsi.canvas.lazy import CacheLimits

    pipeline = make_pipeline(model)
    limits = CacheLimits(memory=CACHE_MIB << 20)
    with tempfile.TemporaryDirectory(prefix="infbrush-bench-") as folder:
        make_canvas(pipeline, 200, 1).write_ome_zarr(Path(folder) / "first.ome.zarr")
        canvas = make_canvas(pipeline, size, 1, limits=limits, workdir=folder)
        before = time.process_time()
        seconds = _seconds(lambda: canvas.write_ome_zarr(Path(folder) / "out.ome.zarr"))
        processor = time.process_time() - before
    return {
        "size": size,
        "write_s": seconds,
        "cpu_s": processor,
        "us_per_pixel": 1e6 * seconds / size**2,
        "peak_mib": harness.peak_mib(),
    }


def measure_picture(model: str | None, size: int, steps: int, seeds: int) -> dict[str, Any]:
    """Seams of some canvases in frames, levels and exactness of the first."""
    from canvas_picture import beside_exact, exactness, levels, pooled, seams

    pipeline = make_pipeline(model)
    canvas = make_canvas(pipeline, size, steps, frame=FRAME)
    others = (make_canvas(pipeline, size, steps, seed, frame=FRAME) for seed in range(SEED + 1, SEED + seeds))
    found = {"size": size, "steps": steps, "seeds": seeds} | pooled([seams(one) for one in (canvas, *others)])
    found["levels"] = levels(canvas)
    found["levels_one_frame"] = levels(make_canvas(pipeline, size, steps))
    exact = make_canvas(pipeline, 256, steps, frame=FRAME, halo="exact")
    found["exact"] = exactness(exact)
    found["tiles_gradient_vs_exact"] = beside_exact(make_canvas(pipeline, 256, steps, frame=FRAME), exact)
    return found


def exponent(rows: list[dict[str, Any]], column: str) -> float:
    """Slope of log time against log pixels."""
    import numpy as np

    sizes, times = np.array([row["size"] for row in rows]), np.array([row[column] for row in rows])
    return float(np.polyfit(np.log(sizes**2.0), np.log(times), 1)[0])


def ratios_of(found: dict[str, Any]) -> dict[str, float]:
    """The figures that can be compared, of the parts that were measured."""
    ratios: dict[str, float] = {}
    if region := found.get("region"):
        ratios["region_vs_standalone"] = region["warm_s"] / region["stand_alone_s"]
        ratios["cold_region_vs_standalone"] = region["cold_s"] / region["stand_alone_s"]
    if rows := found.get("write"):
        ratios["write_exponent"] = exponent(rows, "write_s")
        ratios["write_exponent_cpu"] = exponent(rows, "cpu_s")
        ratios["write_memory_growth"] = rows[-1]["peak_mib"] / rows[0]["peak_mib"]
    if picture := found.get("picture"):
        ratios["seam_gradient"] = picture["tiles_gradient"]
        ratios["seam_variance"] = picture["tiles_variance"]
        for kind in ("frames", "averaged"):
            ratios[f"seam_gradient_{kind}"] = picture[f"{kind}_gradient"]
            ratios[f"seam_variance_{kind}"] = picture[f"{kind}_variance"]
        ratios["seam_gradient_vs_exact"] = picture["tiles_gradient_vs_exact"]
    return ratios


def main() -> None:
    parser = harness.make_parser(__doc__)
    parser.add_argument("--model", default=None, help="directory of a trained model, for the pictures")
    parser.add_argument("--seeds", type=int, default=None, help="canvases of which seams are measured, default 3")
    parser.add_argument("--sizes", type=int, nargs="*", default=None, help="sides of the canvases to write")
    parser.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS, help="others stay as they are in the JSON")
    options = parser.parse_args()
    path = options.json or harness.RESULTS / "canvas.json"
    found: dict[str, Any] = {}
    if path.is_file() and set(options.parts) != set(PARTS):
        found = json.loads(path.read_text())["results"]
    context = harness.server("infbrush_wsi.pipelines.infbrush", "canvas_picture", "pipeline_case")
    if "region" in options.parts:
        steps, windows = (2, 1) if options.quick else (20, 3)
        found["region"] = harness.call_apart(context, measure_region, None, steps, windows)
        print({key: value for key, value in found["region"].items() if key != "windows"}, flush=True)
    if "picture" in options.parts:
        size, steps = (320, 2) if options.quick else (1536, 12)
        seeds = options.seeds or (1 if options.quick else 3)
        found["picture"] = harness.call_apart(context, measure_picture, options.model, size, steps, seeds)
        found["picture"]["weights"] = "random" if options.model is None else "trained"
        print(found["picture"], flush=True)
    if "write" in options.parts:
        sizes = options.sizes or (QUICK_SIZES if options.quick else SIZES)
        found["write"] = [harness.call_apart(context, measure_write, None, size) for size in sizes]
        print(*found["write"], sep="\n", flush=True)
    harness.finish("canvas", options, ratios_of(found), found, {"window": WINDOW, "frame": FRAME})


if __name__ == "__main__":
    main()
