"""Draw time and memory against the size of the image, from the JSON files of the benchmarks.

    python benchmarks/plot.py [--results FOLDER] [--out FOLDER]

Writes bench_<name>.png for each of sparse_conv, denoiser, train_step, sampling, loader and canvas whose JSON is there.
Dotted lines are proportional to the number of pixels.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
IMAGES = Path(__file__).parents[1] / "docs" / "images"

Row = dict[str, Any]
Line = tuple[str, str]
"""Column of the results, and its label."""

TIMES: dict[str, tuple[Line, ...]] = {
    "train_step": (("total_s", "batch and step"), ("step_s", "step alone"), ("data_s", "batch alone")),
    "sampling": (("render_s", "whole image"),),
    "canvas": (("write_s", "whole pyramid"),),
    "denoiser": (
        ("published_s", "published layout"),
        ("ours_s", "ours"),
        ("ours_bf16_s", "ours, bfloat16"),
        ("ours_cano_s", "ours with CANO"),
    ),
}
MEMORY: dict[str, tuple[Line, ...]] = {
    "train_step": (("peak_mib", "peak of the process"),),
    "sampling": (("peak_mib", "peak of the process"), ("work_mib", "without what was resident before")),
    "canvas": (("peak_mib", "peak of the process"),),
    "denoiser": (("published_work_mib", "published layout"), ("ours_work_mib", "ours")),
}
TITLES = {
    "train_step": "A training step",
    "sampling": "Generating an image with the preset tiny",
    "canvas": "Writing a generated OME-Zarr, one sampler step, preset tiny",
    "denoiser": "One evaluation of a network on all pixels",
    "sparse_conv": "The sparse residual block",
    "loader": "Random points of compressed images",
}


def draw_by_size(name: str, record: Row, out: Path) -> None:
    """A panel of time and one of memory, columns of the results as lines."""
    figure, (left, right) = _panels()
    rows = [row for row in record["results"] if _of_main_series(row, record["results"])]
    for axis, lines, scale in ((left, TIMES[name], 1.0), (right, MEMORY[name], 1 / 1024)):
        for column, label in lines:
            _line(axis, rows, column, label, scale)
    left.set_ylabel("seconds")
    right.set_ylabel("memory, GiB")
    if name != "train_step":
        left.set_yscale("log")
        _pixels(left, rows, TIMES[name][0][0])
    _finish(figure, (left, right), name, record, rows, out)


def draw_sparse(record: Row, out: Path) -> None:
    """Time and memory of forward + backward and of forward, our points beside a masked dense image."""
    figure, (left, right) = _panels()
    rows = [row for row in record["results"] if row["points"] == record["points"]]
    ways = {"ours": ("tab:blue", "ours"), "masked_dense": ("tab:orange", "masked dense image")}
    for way, (colour, label) in ways.items():
        some = [row for row in rows if row["way"] == way]
        for step, style in (("train", "o-"), ("forward", "o--")):
            text = f"{label}, {step}"
            _line(left, some, f"{step}_s", text, 1.0, style, colour)
            _line(right, some, f"{step}_work_mib", text, 1 / 1024, style, colour)
    for axis, unit in ((left, "seconds"), (right, "memory beyond the input, GiB")):
        axis.set_yscale("log")
        axis.set_ylabel(unit)
    _finish(figure, (left, right), "sparse_conv", record, rows, out)


def draw_loader(record: Row, out: Path) -> None:
    """Milliseconds of each kind of read: bars by format in one window, and the warm cache by window."""
    figure, (left, right) = _panels()
    rows = [row for row in record["results"] if row["window"] == record["window_of_ratios"]]
    columns = [c for c in rows[0] if c.endswith("_s")]
    for k, column in enumerate(columns):
        at = [i + (k - (len(columns) - 1) / 2) * 0.8 / len(columns) for i in range(len(rows))]
        left.bar(at, [1e3 * row[column] for row in rows], 0.8 / len(columns), label=column[:-2].replace("_", " "))
    left.set_xticks(range(len(rows)), [row["format"] for row in rows])
    left.set_title(f"window of {record['window_of_ratios']}²", fontsize=9)
    for name in dict.fromkeys(row["format"] for row in record["results"]):
        some = [row | {"size": row["window"]} for row in record["results"] if row["format"] == name]
        _line(right, some, "warm_s", f"{name}, cache warm", 1e3)
    sizes = sorted({row["window"] for row in record["results"]})
    right.set_xscale("log", base=2)
    right.set_xticks(sizes, [f"{size}²" for size in sizes])
    right.set_xlabel("window, pixels")
    right.set_ylim(0, None)
    left.set_yscale("log")
    for axis in (left, right):
        axis.set_ylabel("milliseconds a draw")
        axis.legend(fontsize=8)
    _save(figure, "loader", record, out)


def _panels() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")


def _of_main_series(row: Row, rows: Sequence[Row]) -> bool:
    """Not one of the rows that vary something else than the size (tiles of other sides, another preset)."""
    return all(row.get(key) == rows[0].get(key) for key in ("tile", "preset", "points"))


def _line(
    axis: Any, rows: Iterable[Row], column: str, label: str, scale: float, style: str = "o-", colour: str | None = None
) -> None:
    known = [(row["size"], scale * row[column]) for row in rows if row.get(column) is not None]
    if known:
        axis.plot(*zip(*sorted(known), strict=True), style, color=colour, label=label)


def _pixels(axis: Any, rows: Sequence[Row], column: str) -> None:
    """A line that grows as the number of pixels, through the largest size of `column`."""
    known = [row for row in rows if row.get(column) is not None]
    if len(known) > 1:
        sizes = sorted(row["size"] for row in known)
        last = max(known, key=lambda row: row["size"])
        values = [last[column] * (size / last["size"]) ** 2 for size in sizes]
        axis.plot(sizes, values, ":", color="grey", label="as the pixels")


def _finish(figure: Any, axes: Sequence[Any], name: str, record: Row, rows: Sequence[Row], out: Path) -> None:
    sizes = sorted({row["size"] for row in rows})
    for axis in axes:
        axis.set_xscale("log", base=2)
        axis.set_xticks(sizes, [f"{size}²" for size in sizes])
        axis.minorticks_off()
        axis.set_xlabel("image, pixels")
        if axis.get_yscale() == "linear":
            axis.set_ylim(0, 1.1 * axis.get_ylim()[1])
        if axis.lines:
            axis.legend(fontsize=8)
        else:
            axis.set_axis_off()
            axis.text(0.5, 0.5, "memory was not measured", transform=axis.transAxes, ha="center")
    _save(figure, name, record, out)


def _plain_numbers(axis: Any) -> None:
    """Ticks 1, 2, 5, 10 ... on a logarithmic axis, without powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _save(figure: Any, name: str, record: Row, out: Path) -> None:
    machine, points = record["machine"], record.get("points")
    what = TITLES[name] + (f" of the preset {record['preset']}" if name == "train_step" else "")
    what += f", {points:,} points" if isinstance(points, int) else ""
    threads = machine["torch_threads"]
    where = machine.get("gpu") or f"{machine['cpu']}, {threads} thread{'s' if threads > 1 else ''}"
    for axis in figure.axes:
        if axis.get_yscale() == "log":
            _plain_numbers(axis)
    figure.suptitle(f"{what} ({where})", fontsize=10)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"bench_{name}.png"
    figure.savefig(path, dpi=120)
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of the pictures")
    options = parser.parse_args()
    for name in TITLES:
        path = options.results / f"{name}.json"
        if not path.exists():
            continue
        record = json.loads(path.read_text())
        if name == "canvas":
            record["results"] = record["results"].get("write", [])
            if not record["results"]:
                continue
        if name == "sparse_conv":
            draw_sparse(record, options.out)
        elif name == "loader":
            draw_loader(record, options.out)
        else:
            draw_by_size(name, record, options.out)


if __name__ == "__main__":
    main()
