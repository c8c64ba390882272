"""Draws how the samples of a training run changed over time, beside real windows of the same size.

Question: what does a model look like after how many minutes on this machine?

    python benchmarks/progress.py RUN --out progress.png [--columns 5]

RUN is the directory of a run with previews (`infbrush train --preview-every`). Its sources are read again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from infbrush_wsi.sources.collection import collect
from infbrush_wsi.sources.registry import open_source
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.record import PREVIEWS, read_metrics
from infbrush_wsi.training.windows import WindowPicker

ROWS_OF_A_PREVIEW = 2


def real_windows(config: RunConfig, classes: list[str | None], rows: int) -> list[list[np.ndarray]]:
    """`rows` random real windows of each class, at the training pixel size."""
    rng = np.random.default_rng(0)
    items = collect(config.data.sources, labels=config.data.labels, mpp=config.data.assume_mpp).items
    table = []
    for label in classes:
        of_class = [item for item in items if label is None or item.label == label]
        windows = []
        for _ in range(rows):
            source = open_source(of_class[rng.integers(len(of_class))].path, mpp=config.data.assume_mpp)
            own = source.lattice.spacing
            spacing = min(config.data.mpp or config.data.resolution or [(own.x * own.y) ** 0.5])
            view = source.at(spacing)
            picker = WindowPicker(view, source, config.data.window, config.data.tissue_fraction)
            windows.append(view.read(picker.draw(rng))[..., :3])
        table.append(windows)
    return table


def elapsed_minutes(run: Path) -> dict[int, float]:
    """Training time at each logged step, from the recorded seconds per step."""
    minutes, total, last = {}, 0.0, 0
    for row in read_metrics(run):
        total += (row["step"] - last) * row["seconds_per_step"] / 60
        last = int(row["step"])
        minutes[last] = total
    return minutes


def main() -> None:
    """Read the run and draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--columns", type=int, default=5)
    arguments = parser.parse_args()
    config = RunConfig.from_yaml(arguments.run / "run.yaml")
    previews = sorted((arguments.run / PREVIEWS).glob("step-*.png"))
    first = np.asarray(Image.open(previews[0]))
    side = first.shape[0] // ROWS_OF_A_PREVIEW
    named = config.data.labels != "none"
    found = collect(config.data.sources, labels=config.data.labels, mpp=config.data.assume_mpp).classes
    classes: list[str | None] = list(found) if named else [None] * (first.shape[1] // side)
    chosen = [previews[i] for i in np.unique(np.linspace(0, len(previews) - 1, arguments.columns).round().astype(int))]
    draw(config, arguments.run, classes, chosen, side, arguments.out)
    print(f"{arguments.out}: {len(classes)} classes, {len(chosen)} times")


def draw(config: RunConfig, run: Path, classes: list[str | None], previews: list[Path], side: int, out: Path) -> None:
    """One row a class: real windows, then the same two seeds at each time; the loss curve below."""
    minutes = elapsed_minutes(run)
    real = real_windows(config, classes, ROWS_OF_A_PREVIEW)
    columns = 1 + len(previews)
    width, curve = 2.4, 1.7
    figure = plt.figure(figsize=(width * columns, width / 2 * len(classes) + curve + 0.8))
    heights = [width / 2] * len(classes) + [curve]
    grid = figure.add_gridspec(len(classes) + 1, columns, height_ratios=heights, hspace=0.1, wspace=0.04)
    sheets = [np.asarray(Image.open(path)) for path in previews]
    for row, label in enumerate(classes):
        blocks = [np.concatenate(real[row], axis=1)]
        blocks += [
            np.concatenate([s[k * side : (k + 1) * side, row * side : (row + 1) * side] for k in range(2)], axis=1)
            for s in sheets
        ]
        for column, block in enumerate(blocks):
            axis = figure.add_subplot(grid[row, column])
            axis.imshow(block, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            if column == 0 and label is not None:
                axis.set_ylabel(label, fontsize=9)
            if row == 0:
                step = 0 if column == 0 else int(previews[column - 1].stem.split("-")[1])
                axis.set_title("real" if column == 0 else f"step {step}\n{minutes.get(step, 0):.0f} min", fontsize=9)
    axis = figure.add_subplot(grid[-1, :])
    rows = read_metrics(run)
    axis.semilogx([r["step"] for r in rows], [r["loss"] for r in rows], lw=0.8, color="tab:blue")
    axis.set_xlabel("step")
    axis.set_ylabel("loss")
    axis.grid(alpha=0.3)
    figure.savefig(out, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
