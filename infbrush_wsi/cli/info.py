"""`infbrush info`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from infbrush_wsi.cli.console import examples, out

EPILOG = examples(
    "infbrush info slide.svs",
    "infbrush info model",
    "infbrush info out.ome.zarr --json | jq .provenance.seed",
)


def info(
    path: Annotated[str, typer.Argument(help="Slide, raster, image, OME-Zarr or model directory, or a URL.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a file is: pixel size, levels, channels and tissue of an image, or the facts of a trained model."""
    from infbrush_wsi.cli.describe import describe

    facts = describe(path)
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False, default=str))
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _flat(facts):
        table.add_row(f"[bold]{escape(name)}", escape(value))
    out().print(table)


def _flat(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Rows of text: mappings open up into rows of their own."""
    rows: list[tuple[str, str]] = []
    for name, value in facts.items():
        label = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            rows += _flat(value, f"{label} ")
        elif value not in (None, "", [], ()):
            rows.append((label, _text(value)))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, list):
        separator = "\n" if any(isinstance(entry, str) and len(entry) > 15 for entry in value) else ", "
        return separator.join(_text(entry) for entry in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
