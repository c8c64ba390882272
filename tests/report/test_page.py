"""The page and the picture of a report."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.errors import OutputError
from infbrush_wsi.report.content import Check
from infbrush_wsi.report.figure import write_figure
from infbrush_wsi.report.page import write_page

pytest.importorskip("matplotlib")


class Reader(HTMLParser):
    """Collects images and text, and counts open tags."""

    def __init__(self, text):
        super().__init__()
        self.images, self.words, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs)["src"])
        if tag not in ("img", "meta", "path", "use", "rect", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_needs_no_other_file_and_holds_the_pictures(content, tmp_path):
    path = write_page(content, tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    page = Reader(text)
    assert len(page.images) == 4 * 2 + 2
    assert all(source.startswith("data:image/png;base64,") for source in page.images)
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    first = Image.open(io.BytesIO(base64.b64decode(page.images[2].partition(",")[2])))
    np.testing.assert_array_equal(np.asarray(first), content.pairs[0].real.crop)
    assert page.open == []


def test_images_of_shipped_models_come_first(content, tmp_path):
    side = replace(content.pairs[0].generated, caption="hne-tiny, skin")
    page = Reader(write_page(replace(content, shipped=[side, side]), tmp_path / "report.html").read_text())
    assert len(page.images) == 4 * 2 + 2 + 4
    assert [word for word in page.words if word == "hne-tiny, skin"] == ["hne-tiny, skin"] * 2
    first = Image.open(io.BytesIO(base64.b64decode(page.images[1].partition(",")[2])))
    np.testing.assert_array_equal(np.asarray(first), side.crop)


def test_text_is_escaped_and_complete(content, tmp_path):
    text = write_page(content, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b>" not in text
    words = " ".join(Reader(text).words)
    for expected in ("a <demo> & more", "In & Situ", "tiny <b>", "EPSG:26914", "Short.", "123.2 s", "not checked"):
        assert expected in words
    assert "<svg" in text
    assert "all checks passed" in words


def test_a_failed_check_shows_at_the_top(content, tmp_path):
    failed = replace(content, checks=[*content.checks, Check("c", "pixels", "3 values differ", False)])
    assert not failed.passed
    assert "a check failed" in write_page(failed, tmp_path / "report.html").read_text()


def test_the_picture_is_drawn(content, tmp_path):
    with Image.open(write_figure(content, tmp_path / "report.png")) as found:
        assert found.size[0] == 1320
        assert np.asarray(found.convert("L")).std() > 20
    write_figure(replace(content, raster=None, pairs=content.pairs[:1]), tmp_path / "small.png")


def test_a_missing_folder_is_named_and_nothing_is_left(content, tmp_path):
    for write, name in ((write_page, "r.html"), (write_figure, "r.png")):
        with pytest.raises(OutputError, match=name):
            write(content, tmp_path / "no" / name)
    assert list(tmp_path.iterdir()) == []
