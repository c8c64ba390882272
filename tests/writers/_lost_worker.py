"""Write an image on a cluster of two processes, one of which is killed on the way.

Usage: python _lost_worker.py FOLDER

Two writes: one whose scheduler gives lost blocks to the other worker; and one whose scheduler takes a lost worker for
an error, gone on with on another cluster. Prints the calls of progress of each run.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import OutputError
from infbrush_wsi.writers import write_ome_zarr

SHAPE = Shape(300, 420)
CHUNK = 32


def block(values, block_info=None):
    time.sleep(0.02)
    (y0, _), (x0, _), _ = block_info[0]["array-location"]
    y, x = np.arange(values.shape[0]) + y0, np.arange(values.shape[1]) + x0
    return (
        (y[:, None, None] * 7 + x[None, :, None] * 13 + y[:, None, None] * x[None, :, None] // 3) % 256 + values
    ).astype(np.uint8)


def write(target, **options):
    blank = da.zeros((SHAPE.h, SHAPE.w, 3), chunks=(CHUNK, CHUNK, 3), dtype=np.uint8)
    level = blank.map_blocks(block, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    lattice, provenance = Lattice.regular(SHAPE, 0.5), {"created": "that day"}
    return write_ome_zarr([level], target, lattice=lattice, name="x", chunk=CHUNK, provenance=provenance, **options)


def killing(client, at):
    """A callback that kills a worker when so many chunks are done."""
    calls = []

    def tell(done, total):
        assert threading.current_thread() is threading.main_thread()
        calls.append(done)
        if len(calls) == at:
            workers = client.run(os.getpid)
            os.kill(next(iter(workers.values())), signal.SIGKILL)

    return calls, tell


def on_cluster(target, at, resume):
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, Client(cluster) as client:
        calls, tell = killing(client, at)
        try:
            write(target, progress=tell, resume=resume, fingerprint="f")
        except OutputError as error:
            print("failed:", str(error).replace("\n", " "), file=sys.stderr)
        return calls


def main(folder):
    print(*on_cluster(folder / "retried.ome.zarr", 40, resume=False))
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        print(*on_cluster(folder / "failed.ome.zarr", 40, resume=True))
        assert not (folder / "failed.ome.zarr").exists()
        print(*on_cluster(folder / "failed.ome.zarr", None, resume=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
