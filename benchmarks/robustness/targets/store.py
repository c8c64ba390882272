"""OME-Zarr images: metadata, chunks, links and paths; opened alone, in a collection, as labels, and by xarray."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

from mutate_stores import damage_folder

from targets.images import look, write_images

STORES = ("five.ome.zarr", "four.ome.zarr", "map.ome.zarr", "labels.ome.zarr")
DOINGS = ("look", "look", "look", "collect", "labels", "xarray")


def prepare(folder: Path) -> None:
    """Write the stores and read each once."""
    write_images(folder)
    if not (folder / "labels.ome.zarr").exists():
        _with_labels(folder)
    for name in STORES:
        for doing in sorted(set(DOINGS) - {"labels"}):
            run({"file": name, "doing": doing}, folder, folder)
    run({"file": "labels.ome.zarr", "doing": "labels"}, folder, folder)


def _with_labels(folder: Path) -> None:
    """A store with a label image."""
    import numpy as np

    from infbrush_wsi.conditioning.layout import RasterLayout
    from infbrush_wsi.domain import Lattice, Shape
    from infbrush_wsi.writers.label_image import write_label_image

    target = folder / "labels.ome.zarr"
    shutil.copytree(folder / "five.ome.zarr", target)
    values = np.repeat(np.arange(4, dtype=np.uint8)[:, None], 5, axis=1)
    layout = RasterLayout(values, {1: "a", 2: "b", 3: "c"}, 16.0)
    from infbrush_wsi.conditioning.layout.labels import label_map

    found = label_map(layout)
    write_label_image(target, found.read, lattice=Lattice.regular(Shape(4, 5), 16.0), names=found.names)


def mutate(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    """One damaged store."""
    doing = rng.choice(DOINGS)
    name = "labels.ome.zarr" if doing == "labels" else rng.choice(STORES)
    shutil.copytree(seeds / name, case / name)
    root = case / name / "labels" / "layout" if doing == "labels" and rng.random() < 0.7 else case / name
    return {"file": name, "doing": doing, "mutations": damage_folder(rng, root)}


def run(plan: dict[str, Any], case: Path, out: Path) -> None:
    """Open and read it."""
    path = case / plan["file"]
    if plan["doing"] == "look":
        look(path)
    elif plan["doing"] == "collect":
        from infbrush_wsi.sources import collect

        collect([case]).check(spacing=None, min_shape=(8, 8)).manifest()
    elif plan["doing"] == "labels":
        from infbrush_wsi.conditioning.layout import raster_from_file
        from infbrush_wsi.domain import Box

        raster_from_file(path / "labels" / "layout").index(Box(0, 0, 8, 8))
    else:
        from infbrush_wsi.plugins.xarray.backend import InfbrushBackend

        InfbrushBackend().guess_can_open(str(path))
        InfbrushBackend().open_dataset(str(path))["image"][:, :32, :32].load()
