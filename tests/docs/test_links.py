"""Links between pages, to headings and to files lead somewhere. No network: addresses are not followed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import DOCS, ROOT, anchors, links, name, pages, text

IN_NAV = re.compile(r"\S+\.md")


def _broken(page: Path, markdown: str) -> list[str]:
    wrong = []
    for link in links(markdown):
        if re.match(r"(https?|mailto):", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or not target.is_relative_to(DOCS):
            wrong.append(f"{link}: no such file in the documentation")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            wrong.append(f"{link}: no such heading; there are {sorted(anchors(target))}")
    return wrong


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_of_a_page_lead_somewhere(page):
    assert _broken(page, text(page)) == []


def test_broken_links_are_found():
    markdown = "[a](no.md) [b](../maths.md#no-such) [c](../maths.md#guidance) ![d](../images/hour.png) `[e](no.md)`"
    wrong = _broken(DOCS / "howto" / "train.md", markdown)
    assert [entry.partition(":")[0] for entry in wrong] == ["no.md", "../maths.md#no-such"]


def test_every_page_is_in_the_table_of_contents_once():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    listed = sorted(IN_NAV.findall(yaml.safe_dump(nav)))
    assert listed == sorted(str(page.relative_to(DOCS)) for page in pages())


def test_readme_links_lead_somewhere():
    readme = ROOT / "README.md"
    for link in links(readme.read_text()):
        path, _, anchor = link.partition("#")
        if path and "://" not in path:
            target = ROOT / path
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link
