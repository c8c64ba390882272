"""The report as one picture: real beside generated for each class, and the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from infbrush_wsi._optional import require
from infbrush_wsi.report.content import Content, Picture
from infbrush_wsi.report.crops import framed
from infbrush_wsi.writers.files import staged_file

INK, MUTED, ACCENT = "#1f2933", "#7b8794", "#7b3f8c"
COLUMNS = ("real, whole", "generated, whole", "real, full resolution", "generated, full resolution")


def write_figure(content: Content, path: Path) -> Path:
    """Write the picture as PNG.

    Raises:
        MissingExtraError: without matplotlib.
        OutputError: if it cannot be written.
    """
    require("matplotlib", extra="viz", purpose="draw the report")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = len(content.pairs)
    figure = Figure(figsize=(12, 3.15 * rows + 2.9), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows + 1, 4, height_ratios=[1.0] * rows + [0.8])
    for row, pair in enumerate(content.pairs):
        shape = _largest(pair.real.whole, pair.generated.whole)
        wholes = [framed(pair.real.whole, shape), framed(pair.generated.whole, shape)]
        for column, picture in enumerate([*wholes, pair.real.crop, pair.generated.crop]):
            axes = figure.add_subplot(grid[row, column])
            _show(axes, picture, COLUMNS[column] if row == 0 else "")
            if column == 0:
                axes.set_ylabel(pair.title, fontsize=12, color=INK, fontweight="bold")
    draw_loss(figure.add_subplot(grid[rows, : 2 if content.raster else 4]), content)
    if content.raster is not None:
        facts = content.raster.facts
        title = f"phantom aerial GeoTIFF, {facts.get('CRS', '')}, {facts.get('pixel size', '')}"
        _show(figure.add_subplot(grid[rows, 2]), content.raster.picture, title)
        if content.raster.infrared is not None:
            _show(figure.add_subplot(grid[rows, 3]), content.raster.infrared, "its near infrared")
    figure.suptitle(content.title, fontsize=14, color=INK, fontweight="bold")
    with staged_file(path, overwrite=True) as draft:
        figure.savefig(draft, format="png")
    return path


def loss_picture(content: Content) -> bytes:
    """The loss curve alone, as SVG text in UTF-8.

    Raises:
        MissingExtraError: without matplotlib.
    """
    require("matplotlib", extra="viz", purpose="draw the loss")
    from io import BytesIO

    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 2.7), layout="constrained")
    FigureCanvasSVG(figure)
    draw_loss(figure.add_subplot(), content)
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def draw_loss(axes: Any, content: Content) -> None:
    """Loss against step: single values faintly, their running mean in colour."""
    steps, loss = content.loss
    axes.plot(steps, loss, color=MUTED, linewidth=0.8, alpha=0.6)
    axes.plot(steps, _running_mean(loss), color=ACCENT, linewidth=1.8)
    axes.set_xlabel("step", color=INK)
    axes.set_ylabel("loss (weighted, per point)", color=INK)
    axes.set_ylim(bottom=0)
    axes.grid(color="#e4e7eb", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=MUTED)


def _running_mean(values: list[float]) -> list[float]:
    width = max(1, len(values) // 12)
    return [float(np.mean(values[max(0, k - width) : k + width + 1])) for k in range(len(values))]


def _show(axes: Any, picture: Picture, title: str) -> None:
    axes.imshow(picture, interpolation="nearest" if max(picture.shape) <= 300 else "antialiased")
    axes.set_title(title, fontsize=9.5, color=MUTED)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#cbd2d9")


def _largest(*pictures: Picture) -> tuple[int, int]:
    return max(p.shape[0] for p in pictures), max(p.shape[1] for p in pictures)
