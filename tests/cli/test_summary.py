"""The last line of long commands: how large, how long, how much memory, how to open it."""

from __future__ import annotations

import os
import re
import sys

import numpy as np
import pytest

from infbrush_wsi.cli.summary import Summary, peak_memory, readable, size_on_disk

LINE = re.compile(r"(.+): (.+), (\d+(?:\.\d)? (?:B|KiB|MiB|GiB|TiB)) on disk, (\d+ s|\d+ min \d+ s), (.+) of memory")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (10_100, "9.9 KiB"), (10_239, "10 KiB"),
        (10_240, "10 KiB"), (3 << 30, "3.0 GiB"), (1 << 40, "1.0 TiB"), (5000 << 40, "5000 TiB"),
    ],
)  # fmt: skip
def test_sizes_are_readable(size, text):
    assert readable(size) == text


def test_size_is_that_of_all_files(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_bytes(bytes(1000))
    (tmp_path / "a" / "y").write_bytes(bytes(24))
    (tmp_path / "outside").write_bytes(bytes(5000))
    (tmp_path / "a" / "link").symlink_to(tmp_path / "outside")
    link = os.lstat(tmp_path / "a" / "link").st_size
    assert size_on_disk(tmp_path / "a") == 1024 + link
    assert size_on_disk(tmp_path / "outside") == 5000
    assert size_on_disk(tmp_path / "none") == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_peak_grows_with_what_is_held():
    before = peak_memory()
    held = np.ones(64 << 20, np.uint8)
    assert held.sum() == 64 << 20
    assert peak_memory() >= before
    assert peak_memory() > 64 << 20


def test_a_line_says_all_of_it(tmp_path, capsys):
    (tmp_path / "x").write_bytes(bytes(2048))
    (tmp_path / "beside").write_bytes(bytes(1024))
    Summary().tell(tmp_path / "x", "3 [things]", "", then="open it with y", beside=(tmp_path / "beside",))
    said = capsys.readouterr()
    path, facts, size, seconds, _ = LINE.match(said.out).groups()
    assert (path, facts, size, seconds) == (str(tmp_path / "x"), "3 [things]", "3.0 KiB", "0 s")
    assert said.err.strip() == "open it with y"


def test_an_export_ends_with_it(cli, tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "a.png")
    result = cli("export", tmp_path / "a.png", tmp_path / "a.dzi")
    assert result.exit_code == 0, result.output
    path, facts, size, _, _ = LINE.match(result.stdout).groups()
    assert (path, facts) == (str(tmp_path / "a.dzi"), "60 x 40 px")
    assert size == readable(size_on_disk(tmp_path / "a.dzi") + size_on_disk(tmp_path / "a_files"))
    assert f"infbrush validate {tmp_path / 'a.dzi'}" in result.stderr
