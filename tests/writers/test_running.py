"""Writing on a cluster of dask.distributed in this process, and on the scheduler that dask is set to."""

import threading
import time
from typing import ClassVar

import dask
import dask.array as da
import numpy as np
import pytest
import zarr

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import OutputError
from infbrush_wsi.writers import write_ome_zarr

distributed = pytest.importorskip("distributed")

LATTICE = Lattice.regular(Shape(200, 300), 0.5)


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=4, processes=False, dashboard_address=None, resources={"GPU": 1}
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


class Watched:
    """Blocks of the coordinates' sum that note how many of them are under way at once, and in which threads."""

    most = under_way = 0
    threads: ClassVar[set[str]] = set()
    lock = threading.Lock()

    @classmethod
    def reset(cls):
        cls.most, cls.threads = 0, set()

    @classmethod
    def block(cls, values, block_info=None):
        with cls.lock:
            cls.under_way += 1
            cls.most = max(cls.most, cls.under_way)
            cls.threads.add(threading.current_thread().name)
        time.sleep(0.02)
        with cls.lock:
            cls.under_way -= 1
        (y0, _), (x0, _), _ = block_info[0]["array-location"]
        y, x = np.arange(values.shape[0]) + y0, np.arange(values.shape[1]) + x0
        return values + ((y[:, None, None] + x[None, :, None]) % 256).astype(np.uint8)


@pytest.fixture
def level():
    Watched.reset()
    blank = da.zeros((200, 300, 3), chunks=(50, 50, 3), dtype=np.uint8)
    return blank.map_blocks(Watched.block, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))


def write(level, path, **options):
    return write_ome_zarr([level], path, lattice=LATTICE, name="x", chunk=50, provenance={"created": "d"}, **options)


def test_a_cluster_gives_the_same_bytes_and_tells_the_calling_thread(tmp_path, client, level, tree):
    calls, callers = [], set()

    def tell(done, total):
        calls.append((done, total))
        callers.add(threading.current_thread())

    path = write(level, tmp_path / "cluster.zarr", progress=tell)
    assert calls == [(done, 24 + 6 + 2 + 1) for done in range(1, 34)]
    assert callers == {threading.current_thread()}
    assert Watched.most > 1
    assert all("Dask" in name or "dask" in name for name in Watched.threads), Watched.threads
    assert threading.current_thread().name not in Watched.threads
    with dask.config.set(scheduler="synchronous"):
        Watched.reset()
        assert tree(path) == tree(write(level, tmp_path / "here.zarr"))
    assert Watched.threads == {threading.current_thread().name}, "another scheduler was asked for"


def test_what_is_asked_of_the_cluster_reaches_it(tmp_path, client, level):
    """One GPU on four threads: one task at a time."""
    with dask.annotate(resources={"GPU": 1}):
        write(level, tmp_path / "x.zarr")
    assert Watched.most == 1


def test_a_failure_on_the_cluster_is_told_and_the_rest_is_done_later(tmp_path, client, level, tree):
    def broken(values, block_info=None):
        if block_info[0]["chunk-location"] == (2, 3, 0):
            raise ValueError("the model made no pixels")
        return values

    target = tmp_path / "x.zarr"
    with pytest.raises(OutputError, match=r"made no pixels.*resume"):
        write(level.map_blocks(broken, dtype=np.uint8), target, resume=True, fingerprint="f")
    calls = []
    write(level, target, resume=True, fingerprint="f", progress=lambda done, total: calls.append(done))
    assert calls[-1] == 33
    assert tree(target) == tree(write(level, tmp_path / "whole.zarr"))


def test_the_cluster_forgets_what_is_written(tmp_path, client, level):
    """Otherwise the loss of a worker would have the blocks that it had written made again."""
    kept = []

    def count(dask_scheduler):
        return sum(task.state == "memory" for task in dask_scheduler.tasks.values())

    def look(done, total):
        if done == total:
            for _ in range(100):
                kept.append(client.run_on_scheduler(count))
                if kept[-1] <= 1:
                    break
                time.sleep(0.05)

    path = write(level, tmp_path / "x.zarr", progress=look)
    assert zarr.open_group(str(path), mode="r")["0"].shape == (3, 200, 300)
    assert kept[-1] <= 1
