from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infbrush_wsi.domain import Box
from infbrush_wsi.errors import SourceNotFoundError
from infbrush_wsi.sources import open_source


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server for the test's folder, in another process: GDAL holds the interpreter while it waits."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "-d", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    port = process.stdout.readline().split("port ")[1].split()[0]
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def test_a_raster_by_url(tmp_path: Path, make: Any, server: str) -> None:
    pytest.importorskip("rasterio")
    pixels = make.texture(200, 240)
    make.raster(tmp_path / "a.tif", pixels)
    source = open_source(f"{server}/a.tif")
    assert source.lattice.crs == "EPSG:32633"
    np.testing.assert_array_equal(source.read_box(Box(30, 40, 100, 90)), pixels[40:130, 30:130])
    assert source.fingerprint
    with pytest.raises(SourceNotFoundError):
        open_source(f"{server}/b.tif")


def test_an_ome_zarr_by_url(tmp_path: Path, make: Any, server: str) -> None:
    pytest.importorskip("aiohttp")
    writer = pytest.importorskip("ome_zarr.writer")
    pixels = make.texture(200, 240)
    writer.write_image(pixels.transpose(2, 0, 1), str(tmp_path / "a.zarr"), axes="cyx")
    source = open_source(f"{server}/a.zarr")
    np.testing.assert_array_equal(source.read_box(Box(30, 40, 100, 90)), pixels[40:130, 30:130])
    with pytest.raises(SourceNotFoundError):
        open_source(f"{server}/b.zarr")
