"""Write a lazily rendered canvas on two worker processes that are killed on the way.

Usage: python _lost_workers.py MODEL FOLDER

Two writes: one whose scheduler gives the work of a lost worker to others, which come back with the model; and one
whose scheduler takes a lost worker for an error, gone on with on another cluster. Prints the calls of progress.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

import dask
from distributed import Client, LocalCluster

from infbrush_wsi.errors import OutputError
from infbrush_wsi.pipelines.worker import prepare_cluster


def on_cluster(model, target, kill_at, plan=None):
    # Not above: new workers import this file, and are to load torch as they would elsewhere.
    from infbrush_wsi import InfBrushPipeline

    rendering = runpy.run_path(str(Path(__file__).with_name("_killed_rendering.py")))
    canvas = rendering["make"](InfBrushPipeline.from_pretrained(model))
    calls = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        prepare_cluster(client, canvas, plan)

        def tell(done, total):
            calls.append(done)
            if len(calls) in kill_at:
                os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

        try:
            rendering["write"](canvas, target, progress=tell, resume=True)
        except OutputError as error:
            print("failed:", str(error).replace("\n", " "))
        client.wait_for_workers(2, timeout=600)  # Dask waits a few seconds only for one that starts while it closes
        return calls


def main(model, folder):
    # On a busy machine Dask's 15 seconds are not enough for a worker to come back.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"})
    print(*on_cluster(model, folder / "retried.ome.zarr", (5, 13), folder / "x.plan.safetensors"))
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        print(*on_cluster(model, folder / "failed.ome.zarr", (6,)))
        print((folder / "failed.ome.zarr").exists())
        print(*on_cluster(model, folder / "failed.ome.zarr", ()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
