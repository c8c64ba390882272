"""`infbrush doctor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from infbrush_wsi.cli.console import examples, messages, out

if TYPE_CHECKING:
    from infbrush_wsi.report.installation import Installation
    from infbrush_wsi.report.libraries import Extra
    from infbrush_wsi.report.machine import Folder

EPILOG = examples("infbrush doctor", "infbrush doctor --json | jq .machine.gpus")
Rows = list[tuple[str, ...]]
GIB = 1 << 30


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is installed, what this machine has, which optional parts are missing, and how to get them.

    The exit code is 1 if something that is needed is missing, too old, or cannot be written.
    """
    with messages().status("importing torch"):
        from infbrush_wsi.report.installation import inspect_installation

        found = inspect_installation()
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        _print(found)
    if found.problems:
        raise typer.Exit(1)


def _print(found: Installation) -> None:
    console = out()
    for title, rows in (("This machine", _machine(found)), ("Needed", _needed(found)), ("Optional", _optional(found))):
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        for _ in rows[0][1:]:
            table.add_column(overflow="fold")
        for name, *texts in rows:
            table.add_row(f"  {escape(name)}", *texts)
        console.print(f"[bold]{title}[/]")
        console.print(table)
        console.print()
    for problem in found.problems:
        console.print(f"[bold red]problem:[/] {escape(problem)}", soft_wrap=True)
    if not found.problems:
        console.print("[green]Everything that is needed is there.[/]")


def _machine(found: Installation) -> Rows:
    machine = found.machine
    gpus = ", ".join(f"{gpu.name} ({gpu.memory / GIB:.0f} GiB)" for gpu in machine.gpus)
    return [
        ("system", escape(machine.system)),
        ("cores", str(machine.cores)),
        ("memory", f"{machine.memory / GIB:.1f} GiB, {machine.free / GIB:.1f} free"),
        ("CUDA", escape(gpus or f"none: {machine.no_gpu}")),
        ("kernels for GPUs", escape(machine.kernels)),
        ("compiled loops", _folder(found.kernels)),
        ("temporary folder", _folder(found.scratch)),
    ]


def _folder(folder: Folder) -> str:
    if folder.problem:
        return f"[red]{escape(folder.path)} {escape(folder.problem)}[/]"
    return f"{escape(folder.path)}, {folder.free / GIB:.0f} GiB free"


def _needed(found: Installation) -> Rows:
    rows: Rows = [("infbrush-wsi", found.version), ("Python", found.python)]
    for library in found.libraries:
        shown = escape(library.version or "missing")
        rows.append((library.name, shown if library.fits else f"[red]{shown}, needs {escape(library.needs)}[/]"))
    return rows


def _optional(found: Installation) -> Rows:
    rows: Rows = [(extra.name, escape(extra.purpose), _extra(extra)) for extra in found.extras]
    return [*rows, ("readers", "of images", escape(", ".join(found.readers)))]


def _extra(extra: Extra) -> str:
    if not extra.missing:
        return escape(", ".join(f"{library.name} {library.version}" for library in extra.libraries))
    absent = ", ".join(library.name for library in extra.missing)
    return f"[yellow]{escape(absent)} missing[/]: {escape(extra.install)}"
