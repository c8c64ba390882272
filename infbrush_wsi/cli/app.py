"""The command line application: its commands, and what errors look like."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from infbrush_wsi.cli import (
    augment,
    constrain,
    demo,
    doctor,
    embed,
    evaluate,
    export,
    generate,
    info,
    inpaint,
    protocol,
    train,
    upscale,
    validate,
    view,
)
from infbrush_wsi.cli.console import error_line, notice
from infbrush_wsi.errors import InfbrushError

DEBUG = "--debug"
INTERRUPTED = 130
"""Exit code of a process that Ctrl-C ended, as shells have it."""


class _Commands(TyperGroup):
    """Turns the package's errors into one line and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Accept --debug anywhere on the line."""
        if DEBUG in args:
            args = [DEBUG, *(arg for arg in args if arg != DEBUG)]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except InfbrushError as error:
            if ctx.params.get("debug"):
                raise
            error_line(error)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interrupt:
            notice("; ".join(["stopped", *map(str, interrupt.args)]))
            raise typer.Exit(INTERRUPTED) from interrupt


app = typer.Typer(
    name="infbrush",
    cls=_Commands,
    no_args_is_help=True,
    suggest_commands=False,  # click does it already
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from infbrush_wsi import __version__

        typer.echo(f"infbrush {__version__}")
        raise typer.Exit


@app.callback()
def main(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train diffusion models on slides and rasters, and generate images of any size with them.

    Begin with [bold]infbrush demo --out demo_out[/]: it makes a small slide, trains on it and generates.
    """
    if debug:
        import logging

        logging.basicConfig(level=logging.INFO, stream=sys.stderr)


app.command("demo", epilog=demo.EPILOG)(demo.demo)
app.command("train", epilog=train.EPILOG, no_args_is_help=True)(train.train)
app.command("embed", epilog=embed.EPILOG, no_args_is_help=True)(embed.embed)
app.command("augment", epilog=augment.EPILOG, no_args_is_help=True)(augment.augment)
app.command("evaluate", epilog=evaluate.EPILOG, no_args_is_help=True)(evaluate.evaluate)
app.command("generate", epilog=generate.EPILOG, no_args_is_help=True)(generate.generate)
app.command("inpaint", epilog=inpaint.EPILOG, no_args_is_help=True)(inpaint.inpaint)
app.command("upscale", epilog=upscale.EPILOG, no_args_is_help=True)(upscale.upscale)
app.command("protocol", epilog=protocol.EPILOG, no_args_is_help=True)(protocol.protocol)
app.command("constrain", epilog=constrain.EPILOG, no_args_is_help=True)(constrain.constrain)
app.command("doctor", epilog=doctor.EPILOG)(doctor.doctor)
app.command("validate", epilog=validate.EPILOG, no_args_is_help=True)(validate.validate)
app.command("info", epilog=info.EPILOG, no_args_is_help=True)(info.info)
app.command("export", epilog=export.EPILOG, no_args_is_help=True)(export.export)
app.command("view", epilog=view.EPILOG, no_args_is_help=True)(view.view)
