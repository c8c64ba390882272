"""Messages in the page on errors are messages of the package."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

import infbrush_wsi
from infbrush_wsi import errors
from tests.docs.pages import DOCS

PAGE = (DOCS / "troubleshooting.md").read_text()
LISTED = [
    (message, line)
    for line in PAGE.splitlines()
    if line.startswith("**`") and "(from the shell)" not in line
    for message in re.findall(r"\*\*`(.+?)`\*\*", line)
]
HOLE = "\0"


def _template(node: ast.AST) -> str:
    """Text of a message with a hole where it differs."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _template(node.left) + _template(node.right)
    if isinstance(node, ast.IfExp):
        return _template(node.body) + HOLE + _template(node.orelse)
    return HOLE


@cache
def _messages() -> list[tuple[str, str]]:
    """(class, template) of every error that the package makes."""
    kinds = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__}
    files = Path(infbrush_wsi.__file__).parent.rglob("*.py")
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    made = ((getattr(node.func, "id", ""), node.args) for node in nodes)
    return [(kind, _template(given[0])) for kind, given in made if kind in kinds and given]


def _matching(message: str) -> set[str]:
    """Classes of the errors whose message this is: its fixed words come in a template, in their order."""
    pieces = [piece.strip() for piece in message.split("…") if piece.strip()]
    pattern = re.compile(".*?".join(map(re.escape, pieces)), re.DOTALL)
    return {kind for kind, template in _messages() if pattern.search(template)}


@pytest.mark.parametrize(("message", "line"), LISTED, ids=[message[:60] for message, _ in LISTED])
def test_a_message_is_one_of_the_package(message, line):
    named = set(re.findall(r"`(\w+Error)`", line))
    assert named, f"say which error has the message {message!r}"
    assert named <= _matching(message)


def test_messages_that_nothing_raises_are_found():
    assert _matching("the slide … is upside down") == set()
    assert _matching("there is nothing at …") == {"SourceNotFoundError", "DatasetError"}


def test_every_kind_of_error_is_explained():
    kinds = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__}
    general = {"InfbrushError", "SourceError"}
    assert kinds - general == set(re.findall(r"`(\w+Error)`", PAGE)) - general
