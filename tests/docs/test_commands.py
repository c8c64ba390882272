"""Commands that pages show exist, with the options that they show."""

from __future__ import annotations

import shlex

import pytest
import typer

from tests.docs.pages import DOCS, ROOT, commands, name, pages

SHOWING = [page for page in [*pages(), ROOT / "README.md"] if commands(page)]


def _group():
    from infbrush_wsi.cli import app

    return typer.main.get_command(app)


def _parsed(line: str) -> None:
    """Parse a call as the command line does, without running it; raises on a wrong name, option or value."""
    name, *words = shlex.split(line)[1:]
    group = _group()
    with group.make_context("infbrush", [name]) as context:
        command = group.get_command(context, name)
        assert command is not None, f"there is no command {name!r}"
        command.make_context(name, words, parent=context)


@pytest.mark.parametrize("page", SHOWING, ids=name)
def test_commands_of_a_page_can_be_called(page):
    for line in commands(page):
        _parsed(line)


@pytest.mark.parametrize("line", ["infbrush train --no-such 1", "infbrush paint model", "infbrush generate model"])
def test_wrong_commands_are_found(line):
    with pytest.raises(Exception, match=r"(?i)no such|there is no|missing"):
        _parsed(line)


def test_the_list_of_commands_is_complete():
    text = (DOCS / "commands.md").read_text()
    hidden = {entry for entry, command in _group().commands.items() if command.hidden}
    missing = [entry for entry in _group().commands if entry not in hidden and f"`infbrush {entry}`" not in text]
    assert missing == []
