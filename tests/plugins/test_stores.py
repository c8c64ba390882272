"""Which paths are stores of this package."""

from __future__ import annotations

import json

import pytest

from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.plugins.pyramid import pyramid_of
from infbrush_wsi.plugins.stores import is_ours, level_paths, root_attributes


@pytest.mark.parametrize(("version", "layout"), [("0.4", "flat"), ("0.5", "flat"), ("0.5", "nested")])
def test_our_stores_are_ours_and_tell_their_levels(slide, written, version, layout):
    path = written(slide, version, layout)
    assert is_ours(path)
    assert is_ours(str(path))
    wanted = ["0", "1", "2"] if layout == "flat" else ["0/image", "1/image", "2/image"]
    assert level_paths(root_attributes(path)) == wanted


def test_anything_else_is_not(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "a" / "zarr.json").write_text("{")
    (tmp_path / "b" / "zarr.json").write_text("[1]")
    (tmp_path / "c" / ".zattrs").write_text(json.dumps({"multiscales": [{}], "infbrush_wsi": 1}))
    for path in (tmp_path / "a", tmp_path / "b", tmp_path / "c", tmp_path, tmp_path / "none", None, 3, b"x"):
        assert not is_ours(path)
        assert level_paths(root_attributes(path)) == []


def test_a_pyramid_refuses_levels_that_are_not_there(slide, written):
    pyramid = pyramid_of(written(slide))
    assert pyramid.mpp == (0.5, 0.5)
    for level in (-1, 3):
        with pytest.raises(RegionError, match="levels 0 to 2"):
            pyramid.to_dask(level)
    with pytest.raises(ConfigError, match="not NoneType"):
        pyramid_of(None)
