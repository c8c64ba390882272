"""The pages of the documentation, taken apart: blocks of code, headings, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: \S.* -->\s*\Z")
SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A block of code: where it begins, in which language, and whether the page says that it is not run."""

    page: Path
    line: int
    language: str
    code: str
    not_run: bool


def pages() -> list[Path]:
    return sorted(DOCS.rglob("*.md"))


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text(page: Path) -> str:
    """The text of a page with the files that it includes."""
    return SNIPPET.sub(lambda found: (ROOT / found[1]).read_text(), page.read_text())


def blocks(page: Path, *languages: str) -> list[Block]:
    whole = page.read_text()
    found = []
    for match in FENCE.finditer(whole):
        before = whole[: match.start()]
        block = Block(page, before.count("\n") + 2, match[1], match[2], bool(NOT_RUN.search(before)))
        found.append(block)
    return [block for block in found if block.language in languages]


def commands(page: Path) -> list[str]:
    """Calls of `infbrush` in the console blocks of a page, with continued lines joined and comments cut off."""
    found = []
    for block in blocks(page, "console", "bash", "sh"):
        for line in block.code.replace("\\\n", " ").splitlines():
            line = re.sub(r"\s+[#|].*$", "", line).strip().removeprefix("$ ")
            if line.startswith("infbrush "):
                found.append(line)
    return found


def links(markdown: str) -> list[str]:
    """Targets of links and pictures outside of code."""
    plain = re.sub(r"`[^`\n]*`", "", FENCE.sub("", markdown))
    return [match[2] for match in LINK.finditer(plain)]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as Python-Markdown makes them."""
    from markdown.extensions.toc import slugify, unique

    found: set[str] = set()
    for line in FENCE.sub("", text(page)).splitlines():
        heading = re.match(r"#+\s+(.*?)\s*#*$", line)
        if heading:
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", lambda m: m[1] or "", heading[1])
            unique(slugify(words, "-"), found)
    return found
