"""The demo's images by the models that come with the package, small."""

import pytest

from infbrush_wsi.cli import demo_shipped
from infbrush_wsi.models.shipped import shipped_models


def test_every_shipped_model_gives_a_picture_and_its_stores_pass(tmp_path, monkeypatch):
    pytest.importorskip("tiatoolbox")
    monkeypatch.setattr(demo_shipped, "SIDE", 96)
    monkeypatch.setattr(demo_shipped, "CROP", 32)
    monkeypatch.setattr(demo_shipped, "STEPS", 1)
    sides, checks = demo_shipped.shipped_images(tmp_path / "shipped", seed=0)
    assert len(sides) == len(shipped_models()) == 2
    assert {check.subject for check in checks} == {"hne-tiny.ome.zarr"}
    assert all(check.passed for check in checks)
