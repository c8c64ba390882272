"""Where the command line writes: results to stdout, progress and messages to stderr."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from infbrush_wsi.cli.secrets import without_secrets

COMMAND_STYLE = "cyan"


def out() -> Console:
    """Console for results. Made anew at each use, so that it writes to whatever sys.stdout is then."""
    return Console(highlight=False)


def messages() -> Console:
    """Console for progress and messages."""
    return Console(stderr=True, highlight=False)


def error_line(error: Exception) -> None:
    """Tell the user what went wrong and what is added to it; lines are not broken, so that paths can be copied."""
    messages().print(Text(without_secrets(f"error: {error}"), style="bold red"), soft_wrap=True)
    for note in getattr(error, "__notes__", ()):
        notice(note)


def notice(text: str) -> None:
    """Tell the user something that is no error."""
    messages().print(Text(without_secrets(text), style="yellow"), soft_wrap=True)


def examples(*lines: str) -> str:
    """Epilog of a command's help: example calls, one a line."""
    shown = "\n\n".join(f"[dim]$[/] [{COMMAND_STYLE}]{escape(line)}[/]" for line in lines)
    return f"[bold]Examples[/]\n\n{shown}"
