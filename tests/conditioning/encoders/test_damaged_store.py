"""Stores of embeddings that something has damaged: one error that names the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.conditioning.encoders import EmbeddingStore, load_encoder, write_embeddings
from infbrush_wsi.conditioning.encoders.slide_writer import EMBEDDINGS, TISSUE
from infbrush_wsi.errors import ConditionError, InfbrushError
from infbrush_wsi.sources import collect


@pytest.fixture
def store(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 200, (12, 10, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "a.png")
    out = tmp_path / "store.zarr"
    write_embeddings(collect([tmp_path / "images"], mpp=0.5), load_encoder("statistics"), out, spacing=0.5, tile=32)
    return out


def read(path: Path) -> None:
    found = EmbeddingStore(path)
    found.grid(found.slides[0].key)
    found.mean(found.slides[0].key, (0.0, 0.0), (20.0, 20.0))
    found.sample(0, 2)


def changed(path: Path, change: Callable[[Any], Any]) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_arrays_of_another_shape_or_none_or_damaged(store: Path) -> None:
    read(store)
    arrays = [path for name in (EMBEDDINGS, TISSUE) for path in store.rglob(f"{name}/zarr.json")]
    assert len(arrays) == 2
    for path in arrays:
        kept = path.read_text()
        for change in (
            lambda record: record.update(shape=[1, *record["shape"][1:]]),
            lambda record: record.update(shape=[1 << 40] * len(record["shape"])),
            lambda record: record.pop("data_type"),
        ):
            changed(path, change)
            with pytest.raises(ConditionError, match=r"store\.zarr"):
                read(store)
            path.write_text(kept)
    chunk = next(p for p in sorted(arrays[0].parent.rglob("*")) if p.is_file() and p.name != "zarr.json")
    chunk.write_bytes(b"no chunk")
    with pytest.raises(ConditionError, match="is damaged"):
        read(store)


def test_groups_whose_documents_are_damaged(store: Path) -> None:
    for path in (store / "zarr.json", *store.rglob(f"{TISSUE}/zarr.json")):
        kept = path.read_bytes()
        for text in (b"\xff{}", b"{}", b'{"zarr_format": 3, "node_type": "x"}'):
            path.write_bytes(text)
            with pytest.raises(InfbrushError, match=r"store\.zarr"):
                read(store)
            path.write_bytes(kept)
    read(store)
