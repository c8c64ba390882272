"""`infbrush validate`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from infbrush_wsi.cli.console import examples, messages, out

if TYPE_CHECKING:
    from infbrush_wsi.validation import Validation

EPILOG = examples(
    "infbrush validate out.ome.zarr",
    "infbrush validate out.ome.zarr --decode   (reads every chunk)",
    "infbrush validate map.tif   (a GeoTIFF: is it a COG?)",
    "infbrush validate slide.dzi   (DeepZoom, with its folder of tiles)",
    "infbrush validate slide.dicom   (a folder of DICOM files)",
    "infbrush validate out.ome.zarr --json | jq .valid",
)
STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def validate(
    path: Annotated[str, typer.Argument(help="OME-Zarr image or its URL, GeoTIFF, .dzi, or folder of DICOM files.")],
    windows: Annotated[
        int, typer.Option(help="Windows of 64 x 64 pixels compared at each level, and blocks or tiles decoded.")
    ] = 16,
    decode: Annotated[bool, typer.Option("--decode", help="Decode every chunk, block or tile.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look whether an image is what it says: metadata, physical size, levels, pixels and provenance.

    It knows OME-Zarr, GeoTIFF (is it a COG?), DeepZoom and DICOM.

    The exit code is 1 if something is wrong; warnings do not count.
    """
    from infbrush_wsi.validation import validate_image

    with messages().status(f"looking at {path}"):
        found = validate_image(path, windows=windows, decode=decode)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        _print(found)
    if not found.valid:
        raise typer.Exit(1)


def _print(found: Validation) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in found.findings:
        table.add_row(f"[{STYLES[finding.grade]}]{finding.grade}[/]", finding.check, escape(finding.text))
    out().print(table)
    out().print(f"{found.path}: {'valid' if found.valid else 'not valid'}", soft_wrap=True, markup=False)
