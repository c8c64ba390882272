"""Write an image slowly, be killed again and again, and go on until it is complete.

The children are forked from a process that has imported everything and started no thread, so each begins at once. What
they share with one another is the disk alone.

Usage: python _killed_writer.py FOLDER VERSION SIDE DELAY KILLS MOMENT SEED

Images are written one after the other, as FOLDER/0.ome.zarr and so on, until KILLS processes were killed, each up to
MOMENT seconds after its start. Prints the number of images, and how many kills met a write that had begun.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import dask.array as da
import distributed  # noqa: F401  (dask imports it when it computes)
import numpy as np
import zarr  # noqa: F401  (imported once, here, for all children)

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import OutputExistsError
from infbrush_wsi.writers import partial_folder, write_ome_zarr

CHUNK = 32
KINDS = (int, float, int, float, int)


class SlowImage:
    """uint8 (h, w, 3), a function of the coordinates; every block takes `delay` seconds."""

    def __init__(self, side, delay):
        self.shape, self.dtype, self.ndim, self.delay = (side, side + 77, 3), np.dtype(np.uint8), 3, delay

    def __getitem__(self, region):
        y, x = (np.arange(part.start, part.stop) for part in region[:2])
        time.sleep(self.delay)
        noise = np.sin(y[:, None, None] * 12.9898 + x[None, :, None] * 78.233 + np.arange(3)) * 43758.5453
        return ((noise - np.floor(noise)) * 256).astype(np.uint8)


def write(target, version, side, delay=0.0, **options):
    image = SlowImage(side, delay)
    level = da.from_array(
        image, chunks=(CHUNK, CHUNK, 3), asarray=True, fancy=False, meta=np.empty((0, 0, 0), np.uint8)
    )
    lattice, provenance = Lattice.regular(Shape(*image.shape[:2]), 0.5), {"created": "that day"}
    write_ome_zarr(
        [level], target, lattice=lattice, name="x", chunk=CHUNK, version=version, provenance=provenance, **options
    )


def start(target, version, side, delay):
    """A process that writes; it ends with 0, or with 3 if the image is there already."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        write(target, version, side, delay, resume=True, fingerprint="noise")
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


def main(folder, version, side, delay, kills, longest, seed):
    rng, killed, met, images = random.Random(seed), 0, 0, 0
    while killed < kills:
        target, code = folder / f"{images}.ome.zarr", -signal.SIGKILL
        partial = partial_folder(target)
        while code == -signal.SIGKILL and not target.exists():
            code = end(start(target, version, side, delay), rng.uniform(0, longest) if killed < kills else 100)
            killed += code == -signal.SIGKILL
            met += code == -signal.SIGKILL and (partial / "record.json").exists()
        if partial.exists():  # killed between the last two steps: the next call finds it and tidies up
            code = end(start(target, version, side, delay), 100)
        if code not in (0, 3, -signal.SIGKILL) or partial.exists():
            sys.exit(f"a process ended with {code}")
        images += 1
    print(images, met)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(Path(arguments[0]), arguments[1], *(kind(text) for kind, text in zip(KINDS, arguments[2:], strict=True)))
