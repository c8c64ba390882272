from __future__ import annotations

import gc
import io
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConfigError, OutputError, RegionError
from infbrush_wsi.points.pixel_cache import PixelCache
from infbrush_wsi.sources import ArraySource


class Counting(ArraySource):
    """Writes a line to a file for each read, so that other processes' reads are counted too."""

    log: Path

    def _read(self, box: Box, level: int) -> Any:
        with self.log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return super()._read(box, level)

    @property
    def reads(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def source(tmp_path: Path) -> Counting:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 150, 3), dtype=np.uint8)
    made = Counting(pixels, mpp=0.5)
    made.log = tmp_path / "reads.txt"
    return made


def whole(view: Any) -> Any:
    return view.read(Box(0, 0, view.shape.w, view.shape.h))


@pytest.mark.parametrize("spacing", [0.5, 0.8])
@pytest.mark.parametrize("apron", [0, 4, 40])
def test_tiles_are_the_views_pixels_with_real_neighbours(
    source: Counting, tmp_path: Path, spacing: float, apron: int
) -> None:
    view = source.at(spacing)
    cache = PixelCache(tmp_path / "cache", tile=32, apron=apron)
    padded = np.pad(whole(view), ((apron, apron), (apron, apron), (0, 0)), mode="symmetric").astype(int)
    rows, columns = cache.grid(view)
    assert (rows, columns) == (-(-view.shape.h // 32), -(-view.shape.w // 32))
    for ty in range(rows):
        for tx in range(columns):
            tile = cache.tile(view, ty, tx)
            expected = padded[32 * ty : 32 * ty + 32 + 2 * apron, 32 * tx : 32 * tx + 32 + 2 * apron]
            assert tile.shape == expected.shape
            assert np.abs(tile - expected).max() <= (0 if spacing == 0.5 else 1)
            assert not tile.flags.writeable
    with pytest.raises(RegionError, match="no tile"):
        cache.tile(view, rows, 0)
    with pytest.raises(RegionError, match="no tile"):
        cache.tile(view, 0, -1)


def test_each_tile_is_decoded_once_and_found_by_a_later_run(source: Counting, tmp_path: Path) -> None:
    view = source.at(0.5)
    cache = PixelCache(tmp_path / "cache", tile=64)
    for _ in range(5):
        for tx in range(3):
            cache.tile(view, 0, tx)
    assert source.reads == 3
    first = np.array(cache.tile(view, 0, 1))
    later = PixelCache(tmp_path / "cache", tile=64)
    np.testing.assert_array_equal(later.tile(source.at(0.5), 0, 1), first)
    assert source.reads == 3


def test_other_pixels_are_other_tiles(source: Counting, tmp_path: Path) -> None:
    cache = PixelCache(tmp_path / "cache", tile=64)
    other = ArraySource(255 - source.read_box(Box(0, 0, 150, 100)), mpp=0.5)
    coarse = ArraySource(source.read_box(Box(0, 0, 150, 100)), mpp=1.0)
    tiles = [cache.tile(v, 0, 0) for v in (source.at(0.5), source.at(0.7), other.at(0.5), coarse.at(0.7))]
    assert len({tile.tobytes() for tile in tiles}) == 4
    apart = PixelCache(tmp_path / "cache", tile=64, apron=2).tile(source.at(0.5), 0, 0)
    assert apart.shape == (68, 68, 3)


def test_the_size_limit_holds_and_the_oldest_goes(tmp_path: Path) -> None:
    source = ArraySource(np.random.default_rng(0).integers(0, 256, (64, 64 * 50, 3), dtype=np.uint8), mpp=0.5)
    limit = 10 * 64 * 64 * 3
    cache = PixelCache(tmp_path / "cache", limit, tile=64, apron=0)
    view = source.at(0.5)
    for tx in range(50):
        cache.tile(view, 0, tx)
        stored = [path.stat().st_size for path in (tmp_path / "cache").rglob("*.npy")]
        assert sum(stored) <= limit
    assert len(stored) >= 7
    kept = {int(path.stem.split("_")[1]) for path in (tmp_path / "cache").rglob("*.npy")}
    assert kept == set(range(50 - len(kept), 50))


def test_a_mapped_tile_outlives_its_file(source: Counting, tmp_path: Path) -> None:
    view = source.at(0.5)
    cache = PixelCache(tmp_path / "cache", tile=64)
    tile = cache.tile(view, 0, 0)
    before = np.array(tile)
    for path in (tmp_path / "cache").rglob("*.npy"):
        path.unlink()
    np.testing.assert_array_equal(tile, before)
    other = PixelCache(tmp_path / "cache", tile=64)
    np.testing.assert_array_equal(other.tile(view, 0, 0), before)
    assert source.reads == 2


def _as_file(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_damaged_and_half_written_files_are_made_again(source: Counting, tmp_path: Path) -> None:
    view = source.at(0.5)
    before = np.array(PixelCache(tmp_path / "cache", tile=64).tile(view, 0, 0))
    (path,) = (tmp_path / "cache").rglob("*.npy")
    foreign = [_as_file(before.astype(np.float32)), _as_file(np.asfortranarray(before))]
    for damage in (b"", path.read_bytes()[:1000], b"\x93NUMPY garbage" * 10, *foreign):
        path.write_bytes(damage)
        np.testing.assert_array_equal(PixelCache(tmp_path / "cache", tile=64).tile(view, 0, 0), before)
    assert not list((tmp_path / "cache").rglob("*.tmp"))


def test_threads_decode_each_tile_once(source: Counting, tmp_path: Path) -> None:
    view = source.at(0.5)
    cache = PixelCache(tmp_path / "cache", tile=64)
    start = threading.Barrier(8)

    def work(_: int) -> list[bytes]:
        start.wait()
        return [cache.tile(view, ty, tx).tobytes() for ty in range(2) for tx in range(3)]

    with ThreadPoolExecutor(8) as pool:
        assert len({tuple(tiles) for tiles in pool.map(work, range(8))}) == 1
    assert source.reads == 6


def _all_tiles(cache: PixelCache, view: Any, rounds: int) -> set[bytes]:
    rows, columns = cache.grid(view)
    found = set()
    for seed in range(rounds):
        for index in np.random.default_rng([os.getpid(), seed]).permutation(rows * columns):
            ty, tx = divmod(int(index), columns)
            found.add(bytes([ty, tx]) + cache.tile(view, ty, tx).tobytes())
    return found


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_share_the_tiles(source: Counting, tmp_path: Path, method: str) -> None:
    view = source.at(0.5)
    cache = PixelCache(tmp_path / "cache", tile=32)
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context(method)) as pool:
        found = [work.result() for work in [pool.submit(_all_tiles, cache, view, 3) for _ in range(3)]]
    assert source.reads == 4 * 5
    assert found[0] == found[1] == found[2] == _all_tiles(cache, view, 1)
    assert len(found[0]) == 20


def test_processes_that_evict_each_others_tiles_still_read_right(source: Counting, tmp_path: Path) -> None:
    view = source.at(0.5)
    expected = _all_tiles(PixelCache(tmp_path / "roomy", tile=32, apron=0), view, 1)
    cache = PixelCache(tmp_path / "cache", limit_bytes=4 * 32 * 32 * 3, tile=32, apron=0)
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("fork")) as pool:
        found = [work.result() for work in [pool.submit(_all_tiles, cache, view, 10) for _ in range(3)]]
    assert found == [expected] * 3
    assert source.reads > 40, "nothing was evicted, so nothing was tested"
    assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.npy")) <= 6 * (32 * 32 * 3 + 128)


def test_the_temporary_directory_goes_with_its_maker(source: Counting) -> None:
    cache = PixelCache(tile=64)
    directory = cache.directory
    cache.tile(source.at(0.5), 0, 0)
    copy = pickle.loads(pickle.dumps(cache))
    del copy
    child = multiprocessing.get_context("fork").Process(target=gc.collect)
    child.start()
    child.join()
    assert list(directory.rglob("*.npy"))
    del cache
    gc.collect()
    assert not directory.exists()


def test_a_full_disk_costs_time_not_the_run(
    source: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    cache = PixelCache(tmp_path / "cache", tile=64)
    monkeypatch.setattr(np, "save", full)
    view = source.at(0.5)
    for tx in (0, 1):
        tile = cache.tile(view, 0, tx)
        assert not tile.flags.writeable
        assert tile.shape == (72, 72, 3)
    assert caplog.text.count("No space left") == 1
    assert not list((tmp_path / "cache").rglob("*.tmp"))


def test_wrong_settings(source: Counting, tmp_path: Path) -> None:
    for settings in ({"tile": 0}, {"apron": -1}, {"limit_bytes": 0}):
        with pytest.raises(ConfigError):
            PixelCache(tmp_path / "cache", **settings)
    with pytest.raises(ConfigError, match="limit_bytes=1000"):
        PixelCache(tmp_path / "cache", limit_bytes=1000, tile=64).tile(source.at(0.5), 0, 0)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be made"):
        PixelCache(tmp_path / "file")
