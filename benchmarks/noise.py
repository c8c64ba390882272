"""What does a value of the noise field cost? Prints a table: points (two routes) and lattices, by size.

    python benchmarks/noise.py [--threads N] [--repeat N]

The points are 65,536 uniform draws over a square of each size: small squares share their nodes, large ones compute
the noise of each point's taps anew. Both routes are also timed by themselves, to show where they cross.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from infbrush_wsi.domain import Shape
from infbrush_wsi.fields import Mollifier, NoiseField
from infbrush_wsi.fields._threads import default_threads

POINTS = 65_536
SIZES = (512, 1024, 2048, 4096)


def best_time(call: Callable[[], object], repeat: int) -> float:
    """Shortest of some runs, in seconds, after one run that compiles."""
    call()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def row(name: str, size: int, values: int, seconds: float) -> None:
    print(f"{name:<28} {size:>6} {values:>12,} {1e3 * seconds:>10.1f} {1e9 * seconds / values:>10.1f}")


def measure_points(field: NoiseField, size: int, threads: int | None, repeat: int) -> None:
    points = np.random.default_rng(0).uniform(0, size, (POINTS, 2))
    out = np.empty((POINTS, field.channels), np.float32)
    routes: dict[str, Callable[[], object]] = {
        "at": lambda: field.at(points, threads=threads),
        "  always block": lambda: field._from_block(points, out, threads),
        "  always streaming": lambda: field._streaming(points, out, threads),
    }
    for name, call in routes.items():
        row(name, size, POINTS, best_time(call, repeat))


def measure_lattice(field: NoiseField, size: int, spacing: float, threads: int | None, repeat: int) -> None:
    shape = Shape(size, size)
    seconds = best_time(lambda: field.on_lattice((0.0, 0.0), spacing, shape, threads=threads), repeat)
    row(f"on_lattice, spacing {spacing}", size, shape.count, seconds)


def measure_mollifier(size: int, threads: int | None, repeat: int) -> None:
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    places = rng.integers(4, size - 4, (POINTS, 2))
    row("Mollifier.gather", size, POINTS, best_time(lambda: Mollifier().gather(tile, places, threads=threads), repeat))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=None, help="threads a call may use (default: all processors)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of which the best counts")
    options = parser.parse_args()
    threads, repeat = options.threads, options.repeat
    field = NoiseField(seed=7, channels=3)
    print(f"3 channels, sigma 1, radius 4, {threads or default_threads()} threads, numpy {np.__version__}")
    print(f"{'route':<28} {'size':>6} {'points':>12} {'ms':>10} {'ns/point':>10}")
    for size in SIZES:
        measure_points(field, size, threads, repeat)
        for spacing in (0.5, 1.0, 4.0):
            measure_lattice(field, size, spacing, threads, repeat)
        measure_mollifier(size, threads, repeat)


if __name__ == "__main__":
    main()
