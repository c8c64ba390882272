"""What does the sparse residual block cost, beside the ways in which others compute it?

    python benchmarks/sparse_conv.py [--quick] [--json PATH]

65,536 points of 1024², 64 channels, 7 x 7 depthwise, forward and forward + backward. 'masked_dense' holds a masked
image in contiguous layout, '..._channels_last' in that layout (see published.py for which of them published code
meets); 'gather' is the same block with the convolution in plain torch; 'pointwise' is the block without its
convolution; 'spconv' is that library's full convolution with a diagonal weight, where it is installed. Points are
uniform, as published; keys with '_mixed' are for this package's default sampler (half of the points in dense windows,
six times as many neighbours).

The table by size runs each row in a process of its own: 'work' is its peak memory without what was resident before.
'map' is the time to build neighbour map and grid weights, for windows of 1024² and 100,000², by sampler, transfer and
nodes a side; '_kdtree' is the same with the nearest points from scipy's k-d tree. The --quick run leaves out
channels-last, the table by size, maps for 1024², and all but the point-wise ratio for mixed points.
"""

from __future__ import annotations

import argparse
import json
from typing import Any
from unittest import mock

import harness

harness.like_the_command_line()

DEFAULT_SIDE = 1024
WAYS = ("ours", "pointwise", "gather", "spconv", "masked_dense", "masked_dense_channels_last")
DENSE = WAYS[4:]
ACTIVATION_COPIES = {"forward": 8, "train": 24}
"""Images of all channels that a masked dense block holds at its peak, as measured at 1024²."""
MOST_GIB = 6.0


def fits(step: str, side: int) -> bool:
    """Whether a masked dense block of that side stays below `MOST_GIB`."""
    return ACTIVATION_COPIES[step] * 64 * 4 * side**2 / 2**30 <= MOST_GIB


def block_ratios(sampler: str, quick: bool) -> tuple[dict[str, float], dict[str, Any]]:
    """Forward and training step of all ways on the same points; ratios, and seconds by step and way."""
    from block_case import Case
    from published import check_equal

    from infbrush_wsi.operators.sparse_conv import spconv_backend

    ways = [way for way in WAYS if way != "spconv" or spconv_backend.available()[0]]
    if quick:
        ways = ways[:2] if sampler == "mixed" else ways[:-1]
    small = Case(4096, 256, sampler)
    for way in ways[2:]:
        for make in (small.forward, small.train):
            ours, theirs = (small.at_points(make(name)()) for name in ("ours", way))
            check_equal(f"{sampler}, 256², {make.__name__}, {way}", ours, theirs)
    case = Case(harness.POINTS, DEFAULT_SIDE, sampler)
    ratios: dict[str, float] = {}
    seconds: dict[str, Any] = {}
    suffix = "" if sampler == "uniform" else f"_{sampler}"
    for step, make in (("forward", case.forward), ("train", case.train), ("convolution", case.convolution)):
        last: dict[str, Any] = {}
        some = [way for way in ways if step != "convolution" or way != "pointwise"]
        calls = {way: _keeping(make(way), way, last) for way in some}
        few = dict.fromkeys(DENSE, 1 if quick else 3) | dict.fromkeys(("gather", "spconv"), 2 if quick else 5)
        times = harness.compare(calls, repeat=15, few={way: n for way, n in few.items() if way in calls})
        key = "convolution" if step == "convolution" else f"block_{step}"
        for way in some[1:]:
            if way == "pointwise":
                ratios[f"{key}_vs_{way}{suffix}"] = times["ours"] / times[way]
            else:
                check_equal(f"{sampler}, {step}, {way}", case.at_points(last["ours"]), case.at_points(last[way]))
                ratios[f"{key}_vs_{way}{suffix}"] = times[way] / times["ours"]
        seconds[step] = times
        print(f"{sampler:>8} {step:>12}: " + ", ".join(f"{way} {value:.4f} s" for way, value in times.items()))
    return ratios, {"sampler": sampler, "pairs": len(case.support.neighbours.indices), "seconds": seconds}


def _keeping(call: Any, name: str, into: dict[str, Any]) -> Any:
    """The call, leaving its result in `into`, so that what was timed can also be compared."""

    def run() -> None:
        into[name] = call()

    return run


def measure(way: str, points: int, side: int) -> dict[str, Any]:
    """Times and peak memory of one way in this process, for the table."""
    from block_case import Case

    case = Case(points, side, "mixed")
    row: dict[str, Any] = {"way": way, "points": points, "size": side, "pairs": len(case.support.neighbours.indices)}
    if way == "ours":
        row["map_s"] = harness.compare({"map": case.build}, repeat=7)["map"]
    before = harness.resident_mib()
    for step, make in (("forward", case.forward), ("train", case.train)):
        if way == "ours" or fits(step, side):
            repeat = 7 if way == "ours" else 1
            row[f"{step}_s"] = harness.compare({step: make(way)}, repeat, warm_up=int(way == "ours"))[step]
            row[f"{step}_work_mib"] = harness.peak_mib() - before
        else:
            row[f"{step}_s"] = row[f"{step}_work_mib"] = None
    return row | {"peak_mib": harness.peak_mib()}


def table() -> list[dict[str, Any]]:
    """Rows by size, each from a process of its own."""
    sizes = [(harness.POINTS, side) for side in (256, 512, 1024, 2048, 4096)] + [(16_384, 1024), (262_144, 1024)]
    rows = []
    for points, side in sizes:
        for way in ("ours", "masked_dense"):
            rows.append(harness.run_apart(__file__, "--measure", way, points, side))
            print(_line(rows[-1]))
    return rows


def _line(row: dict[str, Any]) -> str:
    def cell(key: str, unit: str, scale: float = 1.0) -> str:
        text = f"over {MOST_GIB:g} GiB" if row[key] is None else f"{row[key] * scale:.1f} {unit}"
        return f"{text:>14}"

    steps = "".join(
        f"  {step}{cell(f'{step}_s', 'ms', 1e3)}{cell(f'{step}_work_mib', 'MiB')}" for step in ("forward", "train")
    )
    return f"{row['way']:>13} {row['points']:>8,} points of {row['size']}²{steps}"


def tree_points(coords_yx: Any, where_yx: Any, count: int) -> tuple[Any, Any]:
    """As `points.nearest.nearest_points`, for `count` points or more, by scipy's k-d tree.

    The tree breaks ties as it likes, so it is asked for more and more until nothing beyond can tie with the last.
    """
    import numpy as np
    from scipy.spatial import cKDTree

    tree = cKDTree(coords_yx)
    candidates = 8
    while True:
        distance, index = tree.query(where_yx, k=candidates)
        squared = np.round(distance**2, 9)
        order = np.lexsort((index, squared), axis=1)
        squared, index = np.take_along_axis(squared, order, 1), np.take_along_axis(index, order, 1)
        if (squared[:, count - 1] < squared[:, -1]).all():
            return squared[:, :count], index[:, :count]
        candidates *= 2


def _with_tree(call: Any) -> Any:
    with mock.patch("infbrush_wsi.points.transfer.nearest_points", tree_points):
        return call()


def map_times(quick: bool) -> dict[str, float]:
    """Milliseconds to build neighbour map and grid weights, by window, sampler, transfer and grid; also by k-d tree."""
    import numpy as np
    import torch

    from infbrush_wsi.domain import Shape
    from infbrush_wsi.points.prepare import Layout, scatter_support
    from infbrush_wsi.points.samplers import make_sampler

    calls = {}
    for side in (100_000,) if quick else (1024, 100_000):
        for sampler in ("mixed", "uniform"):
            shape = Shape(side, side)
            draw = make_sampler(sampler).draw(np.random.default_rng(0), shape, harness.POINTS)
            for transfer in ("splat", "knn"):
                for nodes in (64, 128):
                    layout = Layout(7, side / nodes, transfer)
                    name = f"map_{side}_{sampler}_{transfer}_{nodes}"
                    calls[name] = lambda d=draw, s=shape, lay=layout: scatter_support([d], s, lay)
                    calls[f"{name}_kdtree"] = lambda ours=calls[name]: _with_tree(ours)
                    ours, theirs = (calls[key]().to_grid for key in (name, f"{name}_kdtree"))
                    if not (torch.equal(ours.indices, theirs.indices) and torch.allclose(ours.data, theirs.data)):
                        raise SystemExit(f"{name}: the nearest points are not those of the k-d tree")
    times = harness.compare(calls, repeat=5 if quick else 15)
    found = {f"{name}_ms": 1e3 * seconds for name, seconds in times.items()}
    for name, value in found.items():
        print(f"{name} = {value:.1f}")
    return found | {"map_100000_ms": found["map_100000_mixed_splat_64_ms"]}


def other_libraries() -> dict[str, str]:
    """Which sparse convolution libraries are in the comparison, and why not."""
    from infbrush_wsi.operators.sparse_conv import spconv_backend
    from infbrush_wsi.operators.sparse_conv.dispatch import NOT_USED

    usable, reason = spconv_backend.available()
    reasons = {"spconv": f"compared: {reason}" if usable else f"not compared: {reason}"}
    reasons["torchsparse"] = f"not compared: torchsparse {NOT_USED['torchsparse']}"
    for name, text in reasons.items():
        print(f"{name}: {text}")
    return reasons


def main() -> None:
    parser = harness.make_parser(__doc__)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        way, points, side = options.measure
        print(json.dumps(measure(way, int(points), int(side))))
        return
    others = other_libraries()
    maps = map_times(options.quick)
    rows = [] if options.quick else table()
    ratios: dict[str, float] = {}
    blocks = []
    for sampler in ("uniform", "mixed"):
        found, block = block_ratios(sampler, options.quick)
        ratios |= found
        blocks.append(block)
    facts = {"points": harness.POINTS, "size": DEFAULT_SIDE, "channels": 64, "kernel_size": 7, "others": others}
    harness.finish("sparse_conv", options, ratios, rows, facts | {"blocks": blocks, "maps": maps} | maps)


if __name__ == "__main__":
    main()
