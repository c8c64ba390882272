"""An evaluation as one HTML file with its pictures inside."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infbrush_wsi.metrics.comparison import Evaluation
from infbrush_wsi.metrics.plots import colours, curves, intervals
from infbrush_wsi.metrics.result import MetricResult
from infbrush_wsi.writers.files import staged_file

LEAD = (
    "Generated images are synthetic and not for diagnosis. Distances can be compared only where features, weights, "
    "crop rule and sample counts are the same; intervals come from resampling images."
)
SHARES = ("precision", "recall", "coverage", "memorised")
STYLE = """
:root { color-scheme: light; --ink: #1f2933; --muted: #66707c; --line: #e4e7eb; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 1120px; color: var(--ink); background: #fff;
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.75rem; margin: 0 0 .4rem; } h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; }
p { max-width: 46rem; } .lead, .note { color: var(--muted); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--muted); font-weight: 500; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
.crops { display: grid; grid-template-columns: repeat(8, 1fr); gap: .4rem; }
.crops img { width: 100%; display: block; image-rendering: pixelated; }
.plot svg { width: 100%; height: auto; max-width: 1000px; } details { font-size: .85rem; }
@media (max-width: 760px) { .crops { grid-template-columns: repeat(4, 1fr); } }
"""


def write_evaluation(
    evaluation: Evaluation,
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str] | None = None,
    crops: Mapping[str, Sequence[NDArray[np.uint8]]] | None = None,
) -> Path:
    """Write the page; it needs no other file, and replaces one of the same name.

    Args:
        evaluation: what was found.
        path: of the HTML file.
        title: heading.
        facts: shown below it, for example paths.
        crops: pictures by caption, uint8 (h, w, 3) each, for example 'real' and 'generated'.

    Raises:
        MissingExtraError: without matplotlib.
        OutputError: if it cannot be written.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{LEAD}</p>',
        _facts(facts or {}),
        *(_crops(caption, pictures) for caption, pictures in (crops or {}).items()),
        "<h2>Results</h2>",
        _table(evaluation.results),
        *_plots(evaluation),
        *(f'<p class="note">{escape(note)}.</p>' for note in _notes(evaluation.results)),
        "<h2>How it was computed</h2>",
        *(_details(result) for result in evaluation.results),
        _skipped(evaluation),
    ]
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )
    with staged_file(path, overwrite=True) as draft:
        draft.write_text(page, encoding="utf-8")
    return path


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in facts.items())
    return f"<table>{rows}</table>" if rows else ""


def _crops(caption: str, pictures: Sequence[NDArray[np.uint8]]) -> str:
    shown = "".join(
        f'<img alt="{escape(caption, quote=True)}" src="data:image/png;base64,{_png(p)}">' for p in pictures
    )
    return f'<h2>{escape(caption)}</h2><div class="crops">{shown}</div>'


def _png(picture: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _table(results: Sequence[MetricResult]) -> str:
    rows = []
    for result in results:
        unit = str(result.settings.get("unit", ""))
        interval = "" if math.isnan(result.low) else f"{result.low:.4g} to {result.high:.4g}"
        cells = [f"{result.value:.4g}", interval, str(result.n_real or ""), str(result.n_generated)]
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
        rows.append(f"<tr><td>{escape(result.name.replace('_', ' '))}</td>{numbers}<td>{escape(unit)}</td></tr>")
    level = next((r.settings["level"] for r in results if "level" in r.settings), 0.95)
    head = f"<th>metric</th><th>value</th><th>{100 * level:g} % interval</th><th>n real</th><th>n generated</th>"
    return f"<table><tr>{head}<th>unit</th></tr>{''.join(rows)}</table>"


def _plots(evaluation: Evaluation) -> list[str]:
    found = [result for result in evaluation.results if result.name.endswith(SHARES) and not math.isnan(result.low)]
    drawn = [intervals(found)] if found else []
    if evaluation.statistics is not None:
        drawn += [curves(evaluation.statistics), colours(evaluation.statistics)]
    return [f'<div class="plot">{svg.decode()}</div>' for svg in drawn]


def _notes(results: Sequence[MetricResult]) -> list[str]:
    return list(dict.fromkeys(f"{result.name.replace('_', ' ')}: {n}" for result in results for n in result.notes))


def _details(result: MetricResult) -> str:
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(_text(v))}</td></tr>" for k, v in result.settings.items())
    return f"<details><summary>{escape(result.name.replace('_', ' '))}</summary><table>{rows}</table></details>"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return " ± ".join(_text(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _skipped(evaluation: Evaluation) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(reason)}</td></tr>"
        for name, entries in evaluation.skipped.items()
        for _, reason in entries
    )
    return f"<h2>Left out</h2><table>{rows}</table>" if rows else ""
