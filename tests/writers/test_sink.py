"""Blocks reach the array, are counted, and are kept out once the store is closed."""

import pickle
import threading
import time

import numpy as np
import pytest
import zarr

from infbrush_wsi.errors import OutputError
from infbrush_wsi.writers.sink import ChunkSink, Progress

REGION = (slice(0, 3), slice(10, 20), slice(0, 10))


@pytest.fixture
def array(tmp_path):
    return zarr.create_array(tmp_path / "a.zarr", shape=(3, 20, 20), chunks=(3, 10, 10), dtype="uint8")


def test_a_copy_in_another_process_writes_to_the_same_array_without_counting(array):
    calls = []
    progress = Progress(4, lambda done, total: calls.append((done, total)))
    copy = pickle.loads(pickle.dumps(ChunkSink(array, progress)))
    copy[REGION] = np.full((3, 10, 10), 5, np.uint8)
    assert (array[REGION] == 5).all()
    assert calls == []
    progress.finish()
    assert calls == [(4, 4)]


def test_finish_is_silent_when_all_was_counted(array):
    calls = []
    progress = Progress(1, lambda done, total: calls.append((done, total)))
    ChunkSink(array, progress)[REGION] = np.zeros((3, 10, 10), np.uint8)
    progress.finish()
    assert calls == [(1, 1)]


def test_nothing_is_written_once_closed(array):
    progress = Progress(4, None)
    progress.close()
    with pytest.raises(OutputError, match="no longer written"):
        ChunkSink(array, progress)[REGION] = np.full((3, 10, 10), 5, np.uint8)
    assert array.nchunks_initialized == 0


def test_closing_waits_for_a_write_under_way():
    progress = Progress(4, None)
    progress.begin()
    over = []

    def write():
        time.sleep(0.2)
        over.append(True)
        progress.end(written=True)

    thread = threading.Thread(target=write)
    thread.start()
    progress.close()
    assert over == [True]
    thread.join()


def test_a_failed_write_is_not_counted_and_does_not_block_closing(array):
    calls = []
    progress = Progress(4, lambda done, total: calls.append(done))
    with pytest.raises(ValueError, match="broadcast"):
        ChunkSink(array, progress)[REGION] = np.zeros((3, 7, 7), np.uint8)
    progress.close()
    assert calls == []
