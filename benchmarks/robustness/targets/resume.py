"""Unfinished writes of OME-Zarr stores that are continued: the record, the journal and what is finished."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

from family import copy_folder
from mutate_stores import damage_folder

NAME = "x.ome.zarr"


class Stopped(RuntimeError):
    """Ends the first write in its middle."""


def prepare(folder: Path) -> None:
    """Begin a write and stop it; complete a copy once."""
    if not (folder / f".{NAME}.partial").exists():
        from infbrush_wsi.errors import OutputError

        try:
            _write(folder, stop=3)
        except OutputError:
            assert (folder / f".{NAME}.partial" / "record.json").exists()
    shutil.copytree(folder / f".{NAME}.partial", folder / "again" / f".{NAME}.partial")
    _write(folder / "again")
    shutil.rmtree(folder / "again")


def _write(folder: Path, stop: int | None = None, *, overwrite: bool = False) -> None:
    import dask
    import dask.array as da
    import numpy as np

    from infbrush_wsi.domain import Lattice, Shape
    from infbrush_wsi.writers import write_ome_zarr

    def block(block_info: Any = None) -> Any:
        y, x, _ = block_info[None]["chunk-location"]
        if stop is not None and 2 * y + x >= stop:
            raise Stopped
        return np.full((32, 32, 3), 40 * y + x, np.uint8)

    image = da.map_blocks(block, chunks=((32, 32), (32, 32), (3,)), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    with dask.config.set(scheduler="synchronous"):
        write_ome_zarr(
            [image],
            folder / NAME,
            lattice=Lattice.regular(Shape(64, 64), 0.5),
            name="x",
            chunk=32,
            provenance={"created": "that day"},
            resume=True,
            fingerprint="f",
            overwrite=overwrite,
        )


def mutate(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    """One damaged unfinished write."""
    shutil.copytree(seeds / f".{NAME}.partial", case / f".{NAME}.partial")
    said = damage_folder(rng, case / f".{NAME}.partial", metadata=0.5)
    return {"overwrite": rng.random() < 0.3, "mutations": said}


def run(plan: dict[str, Any], case: Path, out: Path) -> None:
    """Go on with a copy of it; success is the whole image, and a refusal makes no store."""
    from infbrush_wsi.errors import InfbrushError
    from targets.images import look

    target = case.parent / f"{case.name}-copy"
    shutil.rmtree(target, ignore_errors=True)
    copy_folder(case, target)
    try:
        _write(target, overwrite=plan["overwrite"])
        check(target / NAME)
        look(target / NAME)
    except InfbrushError:
        assert not (target / NAME).exists(), "a refused write left a store"
        raise
    finally:
        shutil.rmtree(target, ignore_errors=True)


def check(store: Path) -> None:
    """The pixels are those of a write that was not stopped."""
    from infbrush_wsi.sources import open_source

    with open_source(store) as source:
        pixels = source.read_region((0, 0), 0, (64, 64))
    corners = [int(pixels[y, x, 0]) for y, x in ((0, 0), (0, 40), (40, 0), (40, 40))]
    assert corners == [0, 1, 40, 41], f"other pixels than were to be written: {corners}"
