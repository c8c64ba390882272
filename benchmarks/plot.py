"""Draw peak memory and time of a training step against the size of the image, from the JSON of train_step.py.

    python benchmarks/plot.py [--json PATH] [--out PATH]

Dashed lines are ten per cent below and above the smallest size.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def draw(record: dict[str, Any], out: Path) -> None:
    """One panel for memory, one for time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    results = record["results"]
    sizes = [result["size"] for result in results]
    figure, (memory, duration) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    memory.plot(sizes, [result["peak_mib"] / 1024 for result in results], "o-", color="tab:blue")
    memory.set_ylabel("peak resident memory, GiB")
    _margins(memory, results[0]["peak_mib"] / 1024)
    for name, label in (("total_s", "batch and step"), ("step_s", "step alone"), ("data_s", "batch alone")):
        duration.plot(sizes, [result[name] for result in results], "o-", label=label)
    _margins(duration, results[0]["total_s"])
    duration.set_ylabel("seconds")
    duration.legend()
    for axis in (memory, duration):
        axis.set_xscale("log", base=2)
        axis.set_xticks(sizes, [f"{size}²" for size in sizes])
        axis.set_xlabel("image, pixels")
        axis.set_ylim(0, None)
    machine = record["machine"]
    figure.suptitle(
        f"a training step on {record['points']:,} points, preset tiny "
        f"({machine['cpu']}, {machine['torch_threads']} threads)",
        fontsize=10,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)


def _margins(axis: Any, value: float) -> None:
    for share in (0.9, 1.1):
        axis.axhline(share * value, color="grey", linestyle="--", linewidth=0.8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=RESULTS / "train_step.json", help="numbers to draw")
    parser.add_argument("--out", type=Path, default=RESULTS / "train_step.png", help="picture to write")
    options = parser.parse_args()
    draw(json.loads(options.json.read_text()), options.out)
    print(options.out)


if __name__ == "__main__":
    main()
