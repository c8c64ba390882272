"""Encoders of other packages, found by entry point."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from infbrush_wsi.conditioning.encoders import families, load_encoder
from infbrush_wsi.errors import ConfigError

MODULE = """
from infbrush_wsi.conditioning.encoders.record import EncoderRecord

class Mean:
    record = EncoderRecord("mine:mean", "0" * 64, 3, (0.0,) * 3, (1.0,) * 3)
    def __call__(self, patches):
        return patches.mean((1, 2), dtype="float32")

def factory(model, options):
    return Mean() if model == "mean" else None
"""
ENTRIES = """[infbrush_wsi.encoders]
mine = mine_encoders:factory
broken = mine_encoders:missing
number = mine_encoders:__name__
timm = mine_encoders:factory
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that is really installed, as far as importlib.metadata can tell."""
    (tmp_path / "mine_encoders.py").write_text(MODULE)
    facts = tmp_path / "mine_encoders-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-encoders\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(tmp_path)
    families.cache_clear()
    yield
    families.cache_clear()
    sys.modules.pop("mine_encoders", None)


def test_plugins_are_found_and_broken_ones_left_out(plugin: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        known = families()
    assert "mine" in known
    assert not {"broken", "number"} & set(known)
    assert known["timm"].__module__.startswith("infbrush_wsi.")
    assert [record.args[0] for record in caplog.records] == ["broken", "number", "timm"]
    encoder = load_encoder("mine:mean")
    np.testing.assert_array_equal(encoder(np.full((2, 8, 8, 3), 7, np.uint8)), np.full((2, 3), 7, np.float32))
    with pytest.raises(ConfigError, match="made a NoneType, which is no encoder"):
        load_encoder("mine:other")
