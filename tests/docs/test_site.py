"""The site builds without a warning, shows every public name, and fetches nothing from elsewhere."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT

pytestmark = pytest.mark.slow
DIRECTIVE = re.compile(r"^::: (\S+)$", re.MULTILINE)
LOADED = re.compile(r"<(?:script|img|iframe)[^>]* src=\"?(https?:[^\s\">]+)|<link[^>]* href=\"?(https?:[^\s\">]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    out = tmp_path_factory.mktemp("site")
    call = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, env=quiet)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return out


def test_public_names_are_shown(site):
    missing = []
    for page in sorted((DOCS / "api").glob("*.md")):
        shown = set(re.findall(r"id=\"?([\w.]+)", (site / "api" / f"{page.stem}.html").read_text()))
        for target in DIRECTIVE.findall(page.read_text()):
            if target not in shown:
                missing.append(target)
            missing += [f"{target}.{name}" for name in _public(target) if not _is_shown(target, name, shown)]
    assert missing == []


def _public(target: str) -> list[str]:
    try:
        return list(getattr(importlib.import_module(target), "__all__", ()))
    except ModuleNotFoundError:  # a class or a function
        return []


def _is_shown(package: str, name: str, shown: set[str]) -> bool:
    """Also under the module that defines it: some functions have the name of their module."""
    return any(entry.startswith(package) and entry.endswith(f".{name}") for entry in shown)


def test_formulas_are_numbered_in_their_order(site):
    page = (site / "maths.html").read_text()
    assert "<merror" not in page
    numbers = [int(number) for number in re.findall(r"<mtext>\((\d+)\)</mtext>", page)]
    assert numbers == list(range(1, max(numbers) + 1))
    assert not re.search(r"\$\$|\\(?:tag|sqrt|frac)\b", page)


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        found = [first or second for first, second in LOADED.findall(page.read_text())]
        assert [address for address in found if "canonical" not in address] == [], page
