"""Render and write canvases lazily, be killed again and again, and go on until all are complete.

The children are forked from a process that has imported everything, loaded the model and computed nothing, so each
begins at once; what they share with one another is the disk alone.

Usage: python _killed_rendering.py MODEL FOLDER KILLS LONGEST SEED

Images are written one after the other, as FOLDER/0.ome.zarr and so on, until KILLS processes were killed, each up to
LONGEST seconds after its start. Prints the number of images, and how many kills met a write that had begun.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import dask.array  # noqa: F401  (imported once, here, for all children)
import zarr  # noqa: F401

from infbrush_wsi import InfBrushPipeline
from infbrush_wsi.canvas.lazy import CacheLimits
from infbrush_wsi.errors import OutputExistsError
from infbrush_wsi.writers import partial_folder

LIMIT = 100
SMALL = CacheLimits(memory=1 << 17, disk=1 << 19)
"""So small that tiles go to disk, and are forgotten there."""


def make(pipeline, limits=SMALL):
    """Two levels."""
    return pipeline("Invasive", (300, 120), seed=5, num_inference_steps=2, tile=32, halo=4, limits=limits)


def write(canvas, target, **options):
    canvas.write_ome_zarr(target, chunk=48, name="x", **options)


def start(pipeline, target):
    """A process that writes; it ends with 0, or with 3 if the image is there already."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        write(make(pipeline), target, resume=True)
        code = 0
    except OutputExistsError:
        code = 3
    finally:
        os._exit(code)


def end(process, moment):
    """Kill a process after a time unless it ends before; gives its exit code."""
    last = time.monotonic() + moment
    while time.monotonic() < last:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
    os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main(model, folder, kills, longest, seed):
    pipeline = InfBrushPipeline.from_pretrained(model)
    rng, killed, met, images = random.Random(seed), 0, 0, 0
    while killed < kills:
        target, code = folder / f"{images}.ome.zarr", -signal.SIGKILL
        partial = partial_folder(target)
        while code == -signal.SIGKILL and not target.exists():
            code = end(start(pipeline, target), rng.uniform(0, longest) if killed < kills else LIMIT)
            killed += code == -signal.SIGKILL
            met += code == -signal.SIGKILL and (partial / "record.json").exists()
        if partial.exists():  # killed between the last two steps: the next call finds it and tidies up
            code = end(start(pipeline, target), LIMIT)
        if code not in (0, 3, -signal.SIGKILL) or partial.exists():
            sys.exit(f"a process ended with {code}")
        images += 1
    print(images, met)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
