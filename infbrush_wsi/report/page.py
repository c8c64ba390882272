"""The report as one HTML file with its pictures inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from PIL import Image

from infbrush_wsi.report.content import Check, Content, Pair, Picture, Raster, Side
from infbrush_wsi.report.figure import loss_picture
from infbrush_wsi.writers.files import staged_file

STYLE = """
:root { color-scheme: light; --ink: #1f2933; --muted: #66707c; --line: #e4e7eb; --accent: #7b3f8c; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 1120px; color: var(--ink);
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; background: #fff; }
h1 { font-size: 1.75rem; margin: 0 0 .4rem; } h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; }
p { max-width: 46rem; } .lead { color: var(--muted); margin: 0 0 1.4rem; }
.badge { display: inline-block; padding: .1rem .6rem; border-radius: 1rem; font-size: .85rem; font-weight: 600; }
.ok { background: #e3f5e8; color: #176b34; } .bad { background: #fde8e8; color: #a61b1b; }
.none { background: #eef0f2; color: var(--muted); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .38rem .8rem .38rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--muted); font-weight: 500; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.4rem; font-size: .93rem; margin: 0; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
.pairs { display: grid; grid-template-columns: repeat(4, 1fr); gap: .6rem; margin-bottom: 1.5rem; }
.pairs h3 { grid-column: 1 / -1; margin: .6rem 0 0; font-size: 1rem; }
figure { margin: 0; } figure img { width: 100%; display: block; border: 1px solid var(--line); }
figcaption { font-size: .8rem; color: var(--muted); padding-top: .25rem; }
.crop img { image-rendering: pixelated; } .loss svg { width: 100%; height: auto; max-width: 820px; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 2rem; align-items: start; }
.raster { display: grid; grid-template-columns: 1fr 1fr 1.3fr; gap: 1rem; align-items: start; }
@media (max-width: 760px) { .pairs { grid-template-columns: 1fr 1fr; } .two, .raster { grid-template-columns: 1fr; } }
"""


def write_page(content: Content, path: Path) -> Path:
    """Write the page; it needs no other file.

    Raises:
        MissingExtraError: without matplotlib.
        OutputError: if it cannot be written.
    """
    with staged_file(path, overwrite=True) as draft:
        draft.write_text(_page(content), encoding="utf-8")
    return path


def _page(content: Content) -> str:
    state = _badge(content.passed, "all checks passed", "a check failed")
    loss = loss_picture(content).decode()
    parts = [
        f"<h1>{escape(content.title)}</h1>",
        f'<p class="lead">Every generated image on this page is synthetic and not for diagnosis. {state}</p>',
        _definitions(content.summary),
        _shipped(content.shipped) if content.shipped else "",
        "<h2>Real beside generated, by the model that was trained just now</h2>",
        *(_pair(pair) for pair in content.pairs),
        "<h2>What this shows, and what it does not</h2>",
        *(f"<p>{escape(note)}</p>" for note in content.notes),
        f'<h2>Training</h2><div class="loss">{loss[loss.index("<svg") :]}</div>',
        _raster(content.raster) if content.raster is not None else "",
        "<h2>What was checked</h2>",
        _checks(content.checks),
        '<div class="two">',
        f"<div><h2>Time</h2>{_timings(content.timings)}</div>",
        f"<div><h2>Made with</h2>{_definitions(content.versions)}</div>",
        "</div>",
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(content.title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _shipped(sides: Iterable[Side]) -> str:
    pictures = "".join(_figure(s.whole, s.caption) + _figure(s.crop, "full resolution", "crop") for s in sides)
    return f'<h2>By the models that come with the package</h2><div class="pairs">{pictures}</div>'


def _pair(pair: Pair) -> str:
    return (
        f'<div class="pairs"><h3>{escape(pair.title)}</h3>'
        + _figure(pair.real.whole, f"real: {pair.real.caption}")
        + _figure(pair.generated.whole, f"generated: {pair.generated.caption}")
        + _figure(pair.real.crop, "real, full resolution", "crop")
        + _figure(pair.generated.crop, "generated, full resolution", "crop")
        + "</div>"
    )


def _figure(picture: Picture, caption: str, kind: str = "") -> str:
    return (
        f'<figure class="{kind}"><img alt="{escape(caption, quote=True)}" src="data:image/png;base64,'
        f'{_png(picture)}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _png(picture: Picture) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _raster(raster: Raster) -> str:
    infrared = "" if raster.infrared is None else _figure(raster.infrared, "near infrared, red, green")
    return (
        "<h2>The phantom aerial raster, read back through rasterio</h2>"
        f'<div class="raster">{_figure(raster.picture, "true colour")}{infrared}{_definitions(raster.facts)}</div>'
    )


def _checks(checks: Iterable[Check]) -> str:
    rows = "".join(
        f"<tr><td>{escape(c.subject)}</td><td>{escape(c.what)}</td><td>{escape(c.found)}</td>"
        f"<td>{_badge(c.passed, 'passed', 'failed')}</td></tr>"
        for c in checks
    )
    return f"<table><tr><th>file</th><th>what</th><th>found</th><th></th></tr>{rows}</table>"


def _timings(timings: Mapping[str, float]) -> str:
    entries = [*timings.items(), ("total", sum(timings.values()))]
    rows = "".join(f'<tr><td>{escape(k)}</td><td class="number">{v:.1f} s</td></tr>' for k, v in entries)
    return f"<table>{rows}</table>"


def _definitions(values: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in values.items()) + "</dl>"


def _badge(passed: bool | None, yes: str, no: str) -> str:
    kind, text = {True: ("ok", yes), False: ("bad", no), None: ("none", "not checked")}[passed]
    return f'<span class="badge {kind}">{text}</span>'
