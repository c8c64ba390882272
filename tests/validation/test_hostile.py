"""Descriptions that speak of more than there can be are refused before a list of it is made."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from infbrush_wsi.errors import CorruptSourceError
from infbrush_wsi.validation import validate_image
from infbrush_wsi.validation.tile_folder import read_description

DZI = """<?xml version="1.0"?><Image xmlns="http://schemas.microsoft.com/deepzoom/2008" TileSize="{side}" Overlap="1"
 Format="{suffix}"><Size Width="{w}" Height="{w}"/></Image>"""


def test_tiles_that_no_folder_holds_are_not_listed(tmp_path: Path) -> None:
    path = tmp_path / "x.dzi"
    started = time.process_time()
    for side, w in ((1, 10**6), (254, 10**9)):
        path.write_text(DZI.format(side=side, suffix="png", w=w))
        with pytest.raises(CorruptSourceError, match="more than 1048576 files"):
            validate_image(path)
    assert time.process_time() - started < 2
    path.write_text(DZI.format(side=254, suffix="png", w=200_000))
    assert read_description(path).shape.w == 200_000


@pytest.mark.parametrize("suffix", ["../../etc/passwd", "", "/x", "p.ng"])
def test_a_format_is_a_suffix_and_no_path(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "x.dzi").write_text(DZI.format(side=254, suffix=suffix, w=300))
    with pytest.raises(CorruptSourceError, match="no suffix of files"):
        validate_image(tmp_path / "x.dzi")


def test_a_tile_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "x.dzi").write_text(DZI.format(side=254, suffix="png", w=1))
    (tmp_path / "x_files" / "0").mkdir(parents=True)
    os.mkfifo(tmp_path / "x_files" / "0" / "0_0.png")
    found = validate_image(tmp_path / "x.dzi")
    assert any("0_0.png is no file" in finding.text for finding in found.findings)
