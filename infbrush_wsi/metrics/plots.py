"""Curves of a comparison as SVG."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np

from infbrush_wsi._optional import require
from infbrush_wsi.metrics.colour import BINS, COLOUR, STAIN
from infbrush_wsi.metrics.image_statistics import ImageStatistics
from infbrush_wsi.metrics.result import MetricResult
from infbrush_wsi.metrics.spectrum import frequencies

INK, MUTED, REAL, GENERATED = "#1f2933", "#7b8794", "#1f6f8b", "#b3541e"
Pair = tuple[ImageStatistics, ImageStatistics]


def curves(statistics: Pair) -> bytes:
    """Spectra and two-point correlations, real and generated: SVG text.

    Raises:
        MissingExtraError: without matplotlib.
    """

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        for values, label, colour in zip(statistics, ("real", "generated"), (REAL, GENERATED), strict=True):
            left.plot(frequencies(), values.spectra.mean(axis=0), color=colour, label=label)
            covariance = values.covariances.mean(axis=0)
            lags = np.arange(1, len(covariance))
            right.plot(lags, covariance[1:] / max(covariance[0], 1e-12), color=colour, label=label)
        left.set_yscale("log")
        right.set_xscale("log")
        _dress(left, "cycles per pixel", "power of the luminance")
        _dress(right, "distance in pixels", "two-point correlation")
        left.legend(frameon=False, fontsize=9)

    return _svg(draw, (9.5, 3.1))


def colours(statistics: Pair) -> bytes:
    """Distributions of colour and stain channels: SVG text.

    Raises:
        MissingExtraError: without matplotlib.
    """
    channels = (*COLOUR, *STAIN)[: statistics[0].shares.shape[1]]

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, len(channels))
        for index, (axes, channel) in enumerate(zip(panels, channels, strict=True)):
            at = channel.low + (np.arange(BINS) + 0.5) * channel.width
            means = [values.shares[:, index].mean(axis=0) for values in statistics]
            for mean, colour in zip(means, (REAL, GENERATED), strict=True):
                axes.fill_between(at, mean, color=colour, alpha=0.25, linewidth=0)
                axes.plot(at, mean, color=colour, linewidth=1)
            seen = np.flatnonzero(np.sum(means, axis=0) > 1e-3)
            if len(seen):
                axes.set_xlim(at[seen[0]] - channel.width, at[seen[-1]] + channel.width)
            _dress(axes, f"{channel.name} ({channel.unit})", "")
            axes.set_yticks([])

    return _svg(draw, (2.0 * len(channels), 2.0))


def intervals(results: list[MetricResult]) -> bytes:
    """Values that lie between 0 and 1 with their intervals: SVG text.

    Raises:
        MissingExtraError: without matplotlib.
    """

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for row, result in enumerate(reversed(results)):
            axes.plot([result.low, result.high], [row, row], color=MUTED, linewidth=2)
            axes.plot([result.value], [row], "o", color=GENERATED, markersize=5)
        axes.set_yticks(range(len(results)), [result.name.replace("_", " ") for result in reversed(results)])
        axes.set_xlim(left=0)
        _dress(axes, "", "")

    return _svg(draw, (6.5, 0.6 + 0.3 * len(results)))


def _dress(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x, color=INK, fontsize=9)
    axes.set_ylabel(y, color=INK, fontsize=9)
    axes.grid(color="#e4e7eb", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=MUTED, labelsize=8)


def _svg(draw: Callable[[Any], None], size: tuple[float, float]) -> bytes:
    require("matplotlib", extra="metrics", purpose="draw the evaluation")
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasSVG(figure)
    draw(figure)
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    found = buffer.getvalue()
    return found[found.index(b"<svg") :]
