"""How far is the sparse residual block from what this machine can do at best?

    python benchmarks/floors.py [--quick] [--json PATH]

Two floors, measured here: the rate of matrix products (the block's own shapes, inputs in the cache) and the bandwidth
of memory (an array much larger than the cache is copied; bytes read and written are counted). The block's products and
the bytes that it must move at least (each input read once, each result written once) give two times; the larger is the
floor. 65,536 uniform points of 1024², 64 channels, 7 x 7. 'forward_over_floor' and 'train_over_floor' are ours over it.
"""

from __future__ import annotations

import harness

harness.like_the_command_line()

import torch  # noqa: E402 (after the settings)
from block_case import CHANNELS, Case  # noqa: E402

from infbrush_wsi.operators.pointwise import linear  # noqa: E402

SIDE = 1024
ROWS = 8192
COPIED = 1 << 28
FLOAT = 4


def product_rate(repeat: int) -> float:
    """Floating-point operations a second of the block's larger linear layer."""
    x, weight = torch.randn(ROWS, CHANNELS), torch.randn(2 * CHANNELS, CHANNELS)
    with torch.no_grad():
        seconds = harness.compare({"product": lambda: [linear(x, weight) for _ in range(20)]}, repeat)["product"]
    return 20 * 2 * ROWS * CHANNELS * 2 * CHANNELS / seconds


def bandwidth(repeat: int) -> float:
    """Bytes a second that a copy reads and writes."""
    source = torch.ones(COPIED // FLOAT)
    target = torch.empty_like(source)
    return 2 * COPIED / harness.compare({"copy": lambda: target.copy_(source)}, repeat)["copy"]


def main() -> None:
    options = harness.make_parser(__doc__).parse_args()
    repeat = 7 if options.quick else 31
    rate, moved = product_rate(repeat), bandwidth(repeat)
    case = Case(harness.POINTS, SIDE, "uniform")
    times = harness.compare({"forward": case.forward("ours"), "train": case.train("ours")}, repeat)
    values = harness.POINTS * CHANNELS
    pairs = len(case.support.neighbours.indices)
    work = 8 * values * CHANNELS + 2 * pairs * CHANNELS  # two layers C → 2C → C, and the convolution
    # Forward: input and output. Training also: input again, the gradients of output and input.
    needs = {"forward": (work, 2 * values * FLOAT), "train": (3 * work, 5 * values * FLOAT)}
    ratios, results = {}, []
    print(f"products {rate / 1e9:.0f} GFLOP/s, memory {moved / 1e9:.1f} GB/s")
    for step, (operations, traffic) in needs.items():
        by_products, by_memory = operations / rate, traffic / moved
        floor = max(by_products, by_memory)
        ratios[f"{step}_over_floor"] = times[step] / floor
        results.append({"step": step, "s": times[step], "products_s": by_products, "memory_s": by_memory})
        print(
            f"{step:>8}: {1e3 * times[step]:.1f} ms; products alone {1e3 * by_products:.1f} ms, "
            f"memory alone {1e3 * by_memory:.1f} ms"
        )
    harness.finish("floors", options, ratios, results, {"product_gflops": rate / 1e9, "memory_gbs": moved / 1e9})


if __name__ == "__main__":
    main()
