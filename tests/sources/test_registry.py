from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import infbrush_wsi
from infbrush_wsi.errors import CorruptSourceError, MissingExtraError, SourceNotFoundError, UnsupportedSourceError
from infbrush_wsi.sources import ArraySource, open_source, readers, registry


@pytest.fixture(autouse=True)
def _fresh() -> Any:
    registry.readers.cache_clear()
    yield
    registry.readers.cache_clear()


def test_the_contract_of_the_package(slide: Any) -> None:
    src = infbrush_wsi.open_source(str(slide[0]))
    assert src.mpp == pytest.approx(0.5, rel=1e-4)
    assert src.level_shapes[0] == (512, 768)
    assert src.read_region(location=(1, 2), level=0, size=(30, 20)).shape == (20, 30, 3)


def test_order_of_the_readers() -> None:
    assert [name for name in readers() if name in registry.BUILT_IN] == ["ome_zarr", "openslide", "rasterio", "image"]


def test_nothing_empty_and_garbage(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="nothing at"):
        open_source(tmp_path / "a.svs")
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path / "a.svs")
    for suffix in (".svs", ".tif", ".png", ".ndpi", ".vrt"):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"")
        with pytest.raises(CorruptSourceError, match="is empty"):
            open_source(path)
        path.write_bytes(np.random.default_rng(0).bytes(5000))
        with pytest.raises(CorruptSourceError, match=f"named \\{suffix}"):
            open_source(path)
    (tmp_path / "a.docx").write_bytes(b"no image")
    with pytest.raises(UnsupportedSourceError, match="no installed reader"):
        open_source(tmp_path / "a.docx")
    with pytest.raises(UnsupportedSourceError, match="is a folder"):
        open_source(tmp_path)


def test_the_content_decides_not_the_name(tmp_path: Path, make: Any, slide: Any) -> None:
    pytest.importorskip("rasterio")
    pytest.importorskip("openslide")
    slide[0].rename(tmp_path / "slide.png")
    assert open_source(tmp_path / "slide.png").name == "openslide"
    geo = make.raster(tmp_path / "geo.svs", make.texture(128, 128))
    assert open_source(geo).name == "rasterio"
    # Tiled RGB, which OpenSlide would take for a slide if it were not georeferenced.
    assert open_source(geo, reader="openslide").name == "openslide"
    Image.fromarray(make.texture(64, 64)).save(tmp_path / "striped.tif")
    assert open_source(tmp_path / "striped.tif").name == "image"
    with pytest.raises(UnsupportedSourceError, match="no reader 'bioformats'"):
        open_source(geo, reader="bioformats")


def test_file_urls(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "with space.png"
    Image.fromarray(make.texture(64, 64)).save(path)
    assert open_source(path.as_uri()).level_shapes == ((64, 64),)


@pytest.mark.parametrize(("module", "extra"), [("openslide", "wsi"), ("rasterio", "geo")])
def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    path = tmp_path / "a.svs"
    if module == "rasterio":
        make.raster(path, make.texture(64, 64))
    else:
        path.write_bytes(b"some slide")
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"infbrush-wsi\[{extra}\]"):
        open_source(path)


class Doubled(ArraySource):
    """A reader of another package: a text file with a grey level."""

    name = "doubled"
    suffixes = (".gray",)
    priority = 5

    @classmethod
    def can_open(cls, path: str) -> bool:
        return path.endswith(".gray")

    @classmethod
    def open(cls, path: str, options: Any) -> Doubled:
        return cls(np.full((4, 4, 1), int(Path(path).read_text()), dtype=np.uint8))


def test_plugins_come_in_by_entry_point_and_broken_ones_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "some_plugin", sys.modules[Doubled.__module__])
    found = [
        EntryPoint("doubled", "some_plugin:Doubled", registry.GROUP),
        EntryPoint("broken", "no_such_package:Reader", registry.GROUP),
        EntryPoint("wrong", "pathlib:Path", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    (tmp_path / "a.gray").write_text("77")
    assert open_source(tmp_path / "a.gray").read_region((0, 0), 0, (2, 2)).max() == 77
    assert next(iter(readers())) == "doubled"
    assert "broken" in caplog.text
    assert "no subclass" in caplog.text
