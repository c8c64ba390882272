"""Reading from many processes and threads, as data loaders do."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.domain import Box
from infbrush_wsi.sources import open_source
from infbrush_wsi.sources.handles import HandlePool

KINDS = ("slide", "raster", "zarr", "image")
BOXES = [Box(x, y, 61, 53) for x in range(0, 300, 47) for y in range(-20, 240, 53)]


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path: Path, make: Any) -> Any:
    pixels = make.texture(256, 320)
    if request.param == "slide":
        pytest.importorskip("openslide")
        return open_source(make.slide(tmp_path / "a.tif", [pixels]))
    if request.param == "raster":
        pytest.importorskip("rasterio")
        return open_source(make.raster(tmp_path / "a.tif", pixels))
    if request.param == "zarr":
        writer = pytest.importorskip("ome_zarr.writer")
        writer.write_image(
            pixels.transpose(2, 0, 1), str(tmp_path / "a.zarr"), axes="cyx", storage_options={"chunks": (3, 64, 64)}
        )
        return open_source(tmp_path / "a.zarr")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return open_source(tmp_path / "a.png")


def digest(source: Any, box: Box) -> tuple[int, bytes]:
    return os.getpid(), source.read_box(box).tobytes()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_the_same(source: Any, method: str) -> None:
    expected = [digest(source, box)[1] for box in BOXES]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        found = list(pool.map(digest, [source] * len(BOXES), BOXES, chunksize=5))
    assert [data for _, data in found] == expected
    assert os.getpid() not in {pid for pid, _ in found}


def test_threads_read_the_same(source: Any) -> None:
    expected = [digest(source, box)[1] for box in BOXES]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            assert [data for _, data in pool.map(lambda box: digest(source, box), BOXES)] == expected


def test_a_fork_while_threads_are_reading(source: Any) -> None:
    """A child made in the middle of reading must neither hang nor read wrongly."""
    expected = [digest(source, box)[1] for box in BOXES]
    context = multiprocessing.get_context("fork")
    with ThreadPoolExecutor(2) as threads:
        busy = [threads.submit(lambda: [digest(source, box) for box in BOXES * 5]) for _ in range(2)]
        for _ in range(3):
            answers = context.SimpleQueue()
            child = context.Process(target=lambda q: q.put([digest(source, box)[1] for box in BOXES]), args=(answers,))
            child.start()
            assert answers.get() == expected
            child.join(20)
            assert child.exitcode == 0
        for work in busy:
            work.result()


def test_sources_are_small_when_pickled(source: Any) -> None:
    source.read_box(Box(0, 0, 256, 256))
    assert len(pickle.dumps(source)) < 5000


class Handle:
    def __init__(self) -> None:
        self.open = True

    def close(self) -> None:
        self.open = False


def test_the_pool_lends_reuses_and_closes() -> None:
    pool = HandlePool(limit=2)
    with pool.lend(("a",), Handle) as first, pool.lend(("a",), Handle) as second:
        assert first is not second
    with pool.lend(("a",), Handle) as again:
        assert again in (first, second)
    with pool.lend(("b",), Handle) as third:
        pass
    assert [first.open, second.open].count(False) == 1, "the least recently used is closed at the limit"
    with pytest.raises(ValueError, match="bad"), pool.lend(("b",), Handle):
        raise ValueError("bad")
    assert not third.open, "a handle that failed is not lent again"
    pool.drop(("a",))
    assert not first.open
    assert not second.open


def test_more_sources_than_open_files_are_allowed(tmp_path: Path, make: Any) -> None:
    pytest.importorskip("rasterio")
    resource = pytest.importorskip("resource")
    make.raster(tmp_path / "0.tif", make.texture(64, 64))
    for index in range(1, 200):
        (tmp_path / f"{index}.tif").write_bytes((tmp_path / "0.tif").read_bytes())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 120, hard))
    try:
        sources = [open_source(tmp_path / f"{index}.tif") for index in range(200)]
        assert len({source.read_box(Box(0, 0, 9, 9)).tobytes() for source in sources}) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert np.all([source.channels == 3 for source in sources])
