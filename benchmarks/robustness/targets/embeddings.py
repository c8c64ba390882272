"""Stores of embeddings, and embeddings in files of NumPy."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

from mutate_bytes import damage_file
from mutate_stores import damage_folder


def prepare(folder: Path) -> None:
    """Embed an image by its colours, and read the store once."""
    import numpy as np

    if not (folder / "one.npy").exists():
        from PIL import Image

        from infbrush_wsi.conditioning.encoders import load_encoder, write_embeddings
        from infbrush_wsi.sources import collect

        pixels = np.random.default_rng(0).integers(0, 200, (12, 10, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        (folder / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / "images" / "a.png")
        images = collect([folder / "images"], mpp=0.5)
        write_embeddings(images, load_encoder("statistics"), folder / "store.zarr", spacing=0.5, tile=32)
        np.save(folder / "one.npy", np.ones(7, np.float32))
    run({"file": "store.zarr"}, folder, folder)
    run({"file": "one.npy"}, folder, folder)


def mutate(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    """One damaged store or file."""
    if rng.random() < 0.2:
        shutil.copyfile(seeds / "one.npy", case / "one.npy")
        return {"file": "one.npy", "mutations": damage_file(rng, case / "one.npy")}
    shutil.copytree(seeds / "store.zarr", case / "store.zarr")
    return {"file": "store.zarr", "mutations": damage_folder(rng, case / "store.zarr")}


def run(plan: dict[str, Any], case: Path, out: Path) -> None:
    """Read all that there is."""
    from infbrush_wsi.cli.likeness import embedding_from_file
    from infbrush_wsi.conditioning.encoders import EmbeddingStore

    path = case / plan["file"]
    if path.suffix == ".npy":
        embedding_from_file(path)
        return
    store = EmbeddingStore(path)
    repr(store)
    assert store.classes is not None
    for slide in store.slides:
        store.grid(slide.key)
        store.layout(slide.key)
        store.mean(slide.key, (0.0, 0.0), (20.0, 20.0))
    store.sample(0, 3)
