"""The record of an unfinished write names folders that are moved and removed: it may not name others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import OutputError
from infbrush_wsi.sources import open_source
from infbrush_wsi.writers import partial_folder, write_ome_zarr
from infbrush_wsi.writers.request import Begun, read_begun


@pytest.mark.parametrize(
    "change",
    [
        {"token": "x/../../victim"}, {"token": ""}, {"token": 3}, {"settings": []}, {"provenance": None},
        {"fingerprint": 1},
    ],
)  # fmt: skip
def test_records_that_no_write_has_made(tmp_path: Path, change: dict[str, Any]) -> None:
    Begun.now({"a": 1}, "f", {}).save(tmp_path)
    assert read_begun(tmp_path) is not None
    record = json.loads((tmp_path / "record.json").read_text())
    (tmp_path / "record.json").write_text(json.dumps(record | change))
    with pytest.raises(OutputError, match="cannot be used"):
        read_begun(tmp_path)


def test_a_record_nested_too_deeply(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("[" * 100_000)
    with pytest.raises(OutputError, match="cannot be used"):
        read_begun(tmp_path)


def test_metadata_that_were_changed_meanwhile_are_not_completed(tmp_path: Path) -> None:
    pixels = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    target, always = tmp_path / "x.ome.zarr", {"lattice": Lattice.regular(Shape(64, 64), 0.5), "name": "x", "chunk": 32}

    def block(block_info: Any = None) -> Any:
        if block_info[None]["chunk-location"][:2] == (1, 1):
            raise RuntimeError("stopped")
        (y0, y1), (x0, x1), _ = block_info[None]["array-location"]
        return pixels[y0:y1, x0:x1]

    broken = da.map_blocks(block, chunks=((32, 32), (32, 32), (3,)), dtype=np.uint8, meta=pixels[:0, :0])
    with pytest.raises(OutputError, match="stopped"):
        write_ome_zarr([broken], target, resume=True, fingerprint="f", **always)
    (document,) = partial_folder(target).glob("store-*/zarr.json")
    kept = document.read_text()
    document.write_text(kept.replace("micrometer", "kilometer"))
    whole = da.from_array(pixels, chunks=(32, 32, 3))
    with pytest.raises(OutputError, match=r"zarr\.json is not what it was made as"):
        write_ome_zarr([whole], target, resume=True, fingerprint="f", **always)
    assert not target.exists()
    document.write_text(kept)
    write_ome_zarr([whole], target, resume=True, fingerprint="f", **always)
    assert (open_source(target).read_region((0, 0), 0, (64, 64)) == pixels).all()
