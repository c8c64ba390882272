"""The Python of the pages runs as it is printed, one page after the other, on small slides and a small model."""

from __future__ import annotations

import ast
import importlib
import os
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks, name, pages

RUN = [DOCS / "index.md", *sorted((DOCS / "howto").glob("*.md"))]
WITH_PYTHON = [page for page in pages() if blocks(page, "python")]


@pytest.fixture
def here(workplace: Path, tmp_path: Path, one_thread: None):
    """A working folder in which the names of the pages exist."""
    for entry in workplace.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


@pytest.mark.parametrize("page", [page for page in RUN if page in WITH_PYTHON], ids=name)
def test_blocks_of_a_page_run_in_their_order(page, here):
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page, "python"):
        if not block.not_run:
            exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), names)  # noqa: S102


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_names_that_a_page_imports_exist(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block.code, filename=str(page))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("infbrush_wsi"):
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{name(page)}:{block.line}: {node.module}.{alias.name}"


def test_most_blocks_of_the_how_tos_are_run():
    found = [block for page in RUN for block in blocks(page, "python")]
    assert sum(block.not_run for block in found) <= 3
    assert len(found) >= 14
