"""The outcome of the protocol as JSON, a table and a plot."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from infbrush_wsi._optional import require
from infbrush_wsi.augment.protocol.run import ProtocolResult
from infbrush_wsi.writers.files import staged_file

RESULT, TABLE, PLOT = "result.json", "runs.csv", "result.png"


def summary(result: ProtocolResult) -> dict[str, Any]:
    """What a reader needs, plain JSON."""
    gain = result.gain
    spread = [float(values.std(ddof=1)) if len(values) > 1 else 0.0 for values in (gain.baseline, gain.augmented)]
    return {
        "classes": list(result.classes),
        "images": result.images,
        "patients": result.groups,
        "runs": len(result.runs),
        "accuracy_real": float(gain.baseline.mean()),
        "accuracy_real_std": spread[0],
        "accuracy_real_and_synthetic": float(gain.augmented.mean()),
        "accuracy_real_and_synthetic_std": spread[1],
        "gain": gain.gain,
        "gain_interval_95": list(gain.interval),
        "gain_balanced": gain.balanced,
        "p_value": gain.p_value,
        "test": "corrected resampled t-test over folds and seeds; interval by resampling patients",
    }


def write_result(result: ProtocolResult, folder: Path) -> None:
    """Write ``result.json``, ``runs.csv`` and ``result.png`` into a folder, in place of older ones.

    Raises:
        OutputError: if they cannot be written.
        MissingExtraError: if matplotlib is not installed.
    """
    with staged_file(folder / RESULT, overwrite=True) as draft:
        draft.write_text(json.dumps(summary(result), indent=2))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["fold", "seed", "test_images", "accuracy_real", "accuracy_real_and_synthetic"])
    for run, before, after in zip(result.runs, result.gain.baseline, result.gain.augmented, strict=True):
        writer.writerow([run.fold, run.seed, len(run.test), f"{before:.6f}", f"{after:.6f}"])
    with staged_file(folder / TABLE, overwrite=True) as draft:
        draft.write_text(text.getvalue())
    _plot(result, folder / PLOT)


def _plot(result: ProtocolResult, path: Path) -> None:
    """Accuracy of every run in both arms, joined, and the gain with its interval."""
    require("matplotlib", extra="augment", purpose="draw the outcome of the protocol")
    from matplotlib.figure import Figure

    gain = result.gain
    figure = Figure(figsize=(8, 4), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    for run, before, after in zip(result.runs, gain.baseline, gain.augmented, strict=True):
        left.plot([0, 1], [100 * before, 100 * after], "o-", color=f"C{run.fold % 10}", alpha=0.6, lw=1, ms=4)
    left.plot([0, 1], [100 * gain.baseline.mean(), 100 * gain.augmented.mean()], "k_-", lw=2, ms=18)
    left.set(xticks=[0, 1], xticklabels=["real", "real + synthetic"], xlim=(-0.4, 1.4), ylabel="accuracy on test, %")
    left.set_title(f"{len(result.runs)} runs, a colour for each fold", fontsize=10)
    low, high = (100 * bound for bound in gain.interval)
    right.axhline(0, color="0.6", lw=1)
    right.errorbar([0], [100 * gain.gain], [[100 * gain.gain - low], [high - 100 * gain.gain]], fmt="ko", capsize=6)
    shown = "" if gain.p_value is None else f", p = {gain.p_value:.2g}"
    right.set(xticks=[], ylabel="gain, percentage points")
    right.set_title(f"{100 * gain.gain:+.1f} [{low:+.1f}, {high:+.1f}]{shown}", fontsize=10)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    with staged_file(path, overwrite=True) as draft:
        figure.savefig(draft)


def accuracy_line(result: ProtocolResult) -> str:
    """One line for the terminal."""
    gain, (low, high) = result.gain, result.gain.interval
    tested = "" if gain.p_value is None else f", p = {gain.p_value:.2g}"
    return (
        f"accuracy {np.mean(gain.baseline):.1%} from real images, {np.mean(gain.augmented):.1%} with synthetic ones: "
        f"gain {100 * gain.gain:+.1f} points (95 %: {100 * low:+.1f} to {100 * high:+.1f}{tested})"
    )
