"""The cache of tiles and frames: limits, threads, disk, and what happens when something fails."""

import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.canvas.level import dump_tile, load_tile
from infbrush_wsi.canvas.shared_cache import SharedCache
from infbrush_wsi.errors import OutputError

HEADER = 128
SIDE = 10
BYTES = SIDE * SIDE * 3


def tile(number, side=SIDE):
    return np.full((side, side, 3), number, np.uint8)


def make(memory=2, folder=None, disk=3):
    """A cache for so many tiles in memory and on disk."""
    return SharedCache(dump_tile, load_tile, memory * BYTES, folder, disk * BYTES)


def on_disk(folder):
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


@settings(deadline=None, max_examples=60)
@given(
    keys=st.lists(st.integers(0, 9), max_size=40),
    memory=st.integers(0, 4),
    disk=st.none() | st.integers(0, 4),
)
def test_values_are_right_and_limits_are_kept_in_any_order_of_requests(tmp_path_factory, keys, memory, disk):
    folder = None if disk is None else tmp_path_factory.mktemp("cache") / "tiles"
    cache, computed = make(memory, folder, disk or 0), []
    for key in keys:
        found = cache.get(f"level/{key}", lambda key=key: computed.append(key) or tile(key))
        np.testing.assert_array_equal(found, tile(key))
        kept = sum(f"level/{k}" in cache for k in range(10))
        assert kept <= memory + (disk or 0)
        if folder is not None:
            assert len(on_disk(folder)) <= disk
            assert all(path.stat().st_size == BYTES + HEADER for path in on_disk(folder))
    if memory + (disk or 0) >= len(set(keys)) and memory:
        assert len(computed) == len(set(keys))
    cache.clear()
    assert folder is None or not folder.exists()


def test_what_leaves_memory_comes_back_from_disk_as_it_was(tmp_path):
    cache = make(memory=1, folder=tmp_path / "tiles", disk=10)
    rng = np.random.default_rng(0)
    values = {f"a/{k}": rng.random((SIDE, SIDE, 3)).astype(np.float32)[:, ::-1] for k in range(6)}
    for key, value in values.items():
        cache.get(key, lambda value=value: value)
    for key, value in values.items():
        if key in cache:
            found = cache.get(key, lambda: pytest.fail("computed again"))
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, value)
    assert "a/5" in cache


def test_a_value_larger_than_all_limits_is_given_and_not_kept(tmp_path):
    cache = make(folder=tmp_path / "tiles")
    for _ in range(2):
        np.testing.assert_array_equal(cache.get("large", lambda: tile(7, 99)), tile(7, 99))
    assert "large" not in cache
    assert on_disk(tmp_path) == []


def test_threads_that_ask_for_the_same_value_wait_for_one_computation():
    cache, computed, start = make(), [], threading.Barrier(8)

    def compute():
        computed.append(threading.get_ident())
        time.sleep(0.05)
        return tile(3)

    def ask(_):
        start.wait()
        return cache.get("same", compute)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert len(computed) == 1
    assert all(value is found[0] for value in found)


def test_different_values_are_computed_side_by_side():
    cache, both = make(), threading.Barrier(2, timeout=20)

    def compute(number):
        both.wait()  # breaks if one computation waits for the other's end
        return tile(number)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda k: cache.get(str(k), lambda: compute(k)), range(2)))
    assert [int(value[0, 0, 0]) for value in found] == [0, 1]


def test_a_computation_may_ask_for_other_values():
    cache = make()
    found = cache.get("fine", lambda: cache.get("coarse", lambda: tile(1)) + 1)
    np.testing.assert_array_equal(found, tile(2))


def test_an_error_reaches_every_thread_that_waits_and_a_later_request_computes_anew():
    cache, start, calls = make(), threading.Barrier(4), []

    def fail():
        calls.append(0)
        time.sleep(0.05)
        raise FloatingPointError("no value")

    def ask(_):
        start.wait()
        with pytest.raises(FloatingPointError, match="no value"):
            cache.get("same", fail)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert 1 <= len(calls) < 4
    assert "same" not in cache
    np.testing.assert_array_equal(cache.get("same", lambda: tile(5)), tile(5))


@contextmanager
def no_room():
    """No file may grow, as on a disk that is full; Python ignores SIGXFSZ."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_full_disk_is_an_output_error_and_the_cache_works_on_when_there_is_room(tmp_path):
    cache = make(memory=1, folder=tmp_path / "tiles", disk=5)
    cache.get("0", lambda: tile(0))
    with no_room(), pytest.raises(OutputError, match=r"tiles.*free some space"):
        cache.get("1", lambda: tile(1))
    for key in range(4):
        np.testing.assert_array_equal(cache.get(str(key), lambda key=key: tile(key)), tile(key))
