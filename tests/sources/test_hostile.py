"""Files that somebody has made to mislead: sizes that cannot be, links that lead away, numbers that are none."""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from PIL import Image

from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import (
    CorruptSourceError,
    DatasetError,
    RegionError,
    SourceNotFoundError,
    SourceTooLargeError,
    UnsupportedSourceError,
)
from infbrush_wsi.sources import ArraySource, collect, open_source
from infbrush_wsi.sources.plausible import check_holds, check_levels
from infbrush_wsi.writers import write_ome_zarr

da = pytest.importorskip("dask.array")


@pytest.fixture
def store(tmp_path: Path, make: Any) -> Path:
    pixels = make.texture(96, 96)
    return write_ome_zarr(
        [da.from_array(pixels, chunks=(64, 64, 3))],
        tmp_path / "x.ome.zarr",
        lattice=Lattice.regular(Shape(96, 96), 0.5),
        name="x",
        chunk=64,
    )


def a_chunk(store: Path) -> Path:
    return next(path for path in sorted((store / "0" / "c").rglob("*")) if path.is_file())


def read(path: Path) -> Any:
    with open_source(path) as source:
        return source.read_region((0, 0), 0, (96, 96))


@pytest.mark.parametrize("target", ["outside", "/dev/zero"])
def test_a_chunk_that_is_a_link_out_of_the_store_is_not_read(store: Path, tmp_path: Path, target: str) -> None:
    chunk = a_chunk(store)
    shutil.copyfile(chunk, tmp_path / "outside")
    chunk.unlink()
    chunk.symlink_to(tmp_path / "outside" if target == "outside" else target)
    with pytest.raises(CorruptSourceError, match=r"link to something outside.*cp -rL"):
        read(store)


def test_a_link_within_the_store_is_read(store: Path) -> None:
    before, chunk = read(store), a_chunk(store)
    chunk.rename(store / "elsewhere")
    chunk.symlink_to(store / "elsewhere")
    assert (read(store) == before).all()


def test_a_store_that_is_itself_a_link_is_read(store: Path, tmp_path: Path) -> None:
    (tmp_path / "link.ome.zarr").symlink_to(store)
    assert (read(tmp_path / "link.ome.zarr") == read(store)).all()


def test_levels_and_metadata_may_not_be_links_out_of_the_store(store: Path, tmp_path: Path) -> None:
    (store / "0").rename(tmp_path / "moved")
    (store / "0").symlink_to(tmp_path / "moved")
    with pytest.raises(CorruptSourceError, match="link to something outside"):
        open_source(store)


def test_a_pipe_in_a_store_is_not_waited_for(store: Path) -> None:
    chunk = a_chunk(store)
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(CorruptSourceError, match="a device or a pipe"):
        read(store)


def changed(store: Path, name: str, change: Callable[[Any], None]) -> None:
    path = store / name
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def transformations(record: Any) -> Any:
    return record["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0, 1e-320])
def test_pixels_of_no_size_are_refused(store: Path, value: float) -> None:
    def change(record: Any) -> None:
        transformations(record)["scale"] = [1.0, value, value]
        record["attributes"].pop("infbrush_wsi", None)

    changed(store, "zarr.json", change)
    with pytest.raises(CorruptSourceError, match=r"pixel size|no size"):
        open_source(store)


def test_a_recorded_place_that_is_no_number_is_refused(store: Path) -> None:
    def change(record: Any) -> None:
        record["attributes"]["infbrush_wsi"]["lattice"]["transform"] = [float("nan")] * 6

    changed(store, "zarr.json", change)
    with pytest.raises(CorruptSourceError, match="which is no size"):
        open_source(store)


def test_chunks_that_no_memory_holds_are_refused_before_one_is_read(store: Path) -> None:
    def change(record: Any) -> None:
        record["shape"] = [3, 1 << 20, 1 << 20]
        record["chunk_grid"]["configuration"]["chunk_shape"] = [3, 1 << 20, 1 << 20]

    changed(store, "0/zarr.json", change)
    with pytest.raises(SourceTooLargeError, match="write it again with smaller chunks"):
        open_source(store)


def test_a_level_of_far_more_pixels_than_bytes_is_not_read_through(store: Path) -> None:
    for level in ("0", "1"):
        changed(store, f"{level}/zarr.json", lambda record: record.update(shape=[3, 1 << 20, 1 << 20]))
    with open_source(store) as source:
        started = time.process_time()
        with pytest.raises(SourceTooLargeError, match=r"declares \d+ pixels in \d+ bytes"):
            source.mask(512)
        assert time.process_time() - started < 2


def test_sizes_are_believed_where_the_bytes_could_hold_them() -> None:
    check_holds("x", 2**28, 10)
    check_holds("x", 2**40, 2**28)
    check_holds("x", 2**40, None)
    with pytest.raises(SourceTooLargeError):
        check_holds("x", 2**40, 2**28 - 1)


@pytest.mark.parametrize(
    ("shape", "transform"),
    [
        (Shape(0, 4), Affine.identity()),
        (Shape(4, 4), Affine(0, 0, 0, 0, 0, 0)),
        (Shape(4, 4), Affine(1, 0, float("inf"), 0, 1, 0)),
        (Shape(4, 2**31), Affine.identity()),
    ],
)
def test_levels_that_lie_nowhere(shape: Shape, transform: Affine) -> None:
    from infbrush_wsi.sources.level import levels_of

    with pytest.raises((CorruptSourceError, SourceTooLargeError), match="declares"):
        check_levels(levels_of(Lattice(shape, transform), [shape], [1.0]), "x")
    with pytest.raises(CorruptSourceError, match="no level"):
        check_levels([], "x")


def test_a_tiff_that_declares_more_than_it_has_is_refused(tmp_path: Path, make: Any) -> None:
    path = make.slide(tmp_path / "slide.tif", [make.texture(256, 256)])
    data = bytearray(path.read_bytes())
    at = struct.unpack_from("<I", data, 4)[0]
    for k in range(struct.unpack_from("<H", data, at)[0]):
        if struct.unpack_from("<H", data, at + 2 + 12 * k)[0] == 257:
            struct.pack_into("<HII", data, at + 4 + 12 * k, 4, 1, 1_000_000)
    path.write_bytes(data)
    with pytest.raises(CorruptSourceError, match="of a smaller image"):
        open_source(path)


def test_a_view_of_an_endlessly_long_image_is_refused(tmp_path: Path) -> None:
    source = ArraySource(np.broadcast_to(np.uint8(0), (4, 1 << 22, 1)), mpp=0.5)
    view = source.at(0.5 * (1 << 15))
    with pytest.raises(RegionError, match="overviews"):
        view.read(Box(0, 0, 1, 1), fill="reflect")


def test_folders_that_link_to_themselves_are_walked_once(tmp_path: Path) -> None:
    deep = tmp_path / "images" / "a"
    deep.mkdir(parents=True)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(deep / "x.png")
    for name in ("one", "two", "three"):
        (deep / name).symlink_to(tmp_path / "images")
    found = collect([tmp_path / "images"])
    assert [Path(item.path).name for item in found.items] == ["x.png"]
    assert {entry.reason for entry in found.skipped} == {"a link to a folder that it lies in"}


def test_a_reader_whose_library_fails_in_its_own_way_gives_our_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infbrush_wsi.sources.image import ImageSource

    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "x.png")

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("in a library")

    with monkeypatch.context() as patch:
        patch.setattr(ImageSource, "open", fail)
        with pytest.raises(CorruptSourceError, match=r"reader image cannot open .*ZeroDivisionError: in a library"):
            open_source(tmp_path / "x.png")
    source = open_source(tmp_path / "x.png")
    monkeypatch.setattr(ImageSource, "_read", fail)
    with pytest.raises(CorruptSourceError, match="cannot be read at level 0"):
        source.read_region((0, 0), 0, (4, 4))
    monkeypatch.setattr(ImageSource, "_read", lambda *_: np.zeros((2, 2, 1), np.uint8))
    with pytest.raises(CorruptSourceError, match=r"pixels of the shape \(2, 2, 1\)"):
        source.read_region((0, 0), 0, (4, 4))


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(UnsupportedSourceError, match="a device or a pipe"):
        open_source(tmp_path / "x.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    with pytest.raises(SourceNotFoundError):
        open_source(tmp_path / "loop.png")
    with pytest.raises(SourceNotFoundError):
        open_source("a" * 5000 + ".png")
    with pytest.raises(DatasetError, match="a device or a pipe"):
        collect([tmp_path]).check()
