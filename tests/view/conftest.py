"""Real images of every kind, a small model, and a real server."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

PROVENANCE = {
    "synthetic": True,
    "system": "infbrush",
    "model": {"sha256": "0123456789abcdef" * 4},
    "condition": "Invasive",
    "seed": 7,
    "steps": 20,
    "guidance_scale": 1.5,
}


@dataclass
class Page:
    """A client of a server: requests go over HTTP, their paths untouched."""

    url: str
    server: Any = None

    def request(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def images(self) -> list[dict[str, Any]]:
        status, _, body = self.request("/images.json")
        assert status == 200
        return json.loads(body)

    def tile(self, image: dict[str, Any], level: int, column: int, row: int, kind: str = "png") -> NDArray[np.uint8]:
        status, headers, body = self.request(f"/tiles/{image['key']}/{level}/{column}_{row}.{kind}")
        assert status == 200, body
        assert headers["content-type"] == {"png": "image/png", "jpg": "image/jpeg"}[kind]
        return np.asarray(Image.open(io.BytesIO(body)))

    def whole(self, image: dict[str, Any], level: int, kind: str = "png") -> NDArray[np.uint8]:
        """A level put together from all of its tiles, which are cut to what is theirs alone."""
        facts, side, shared = image["levels"][level], image["tile"], image["overlap"]

        def own(column: int, row: int) -> NDArray[np.uint8]:
            x, y = (shared if index else 0 for index in (column, row))
            return self.tile(image, level, column, row, kind)[y : y + side, x : x + side]

        columns, rows = (range(-(-facts[name] // side)) for name in ("width", "height"))
        return np.concatenate([np.concatenate([own(column, row) for column in columns], axis=1) for row in rows])


@pytest.fixture
def serve() -> Iterator[Callable[..., Page]]:
    """Serve things for the time of a test."""
    from infbrush_wsi.view import show

    servers = []

    def start(things: Any, **options: Any) -> Page:
        server = show(things, **{"port": 0} | options)
        servers.append(server)
        return Page(server.url, server)

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pyramidal TIFF of 1300 x 900 pixels at 0.5 µm, read by OpenSlide."""
    pytest.importorskip("openslide")
    from infbrush_wsi.phantom import write_phantom_slide

    return write_phantom_slide(tmp_path_factory.mktemp("slide") / "phantom.tif", "Benign", size=(1300, 900), seed=3)


@pytest.fixture(scope="session")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GeoTIFF of four bands, 700 x 620 pixels of 0.6 m."""
    pytest.importorskip("rasterio")
    from infbrush_wsi.phantom import write_phantom_raster

    return write_phantom_raster(tmp_path_factory.mktemp("raster") / "aerial.tif", size=(700, 620))


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.uint8]:
    """A picture of 1201 x 833 pixels in which no place looks like another."""
    y, x = np.mgrid[:833, :1201]
    return np.stack([x * 255 // 1200, y * 255 // 832, (x * 7 ^ y * 5) & 255], axis=-1).astype(np.uint8)


@pytest.fixture(scope="session")
def zarr_store(pixels: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The picture as an OME-Zarr of one µm per pixel whose provenance says synthetic."""
    import dask.array as da

    from infbrush_wsi.domain import Lattice, Shape
    from infbrush_wsi.writers import write_ome_zarr

    path = tmp_path_factory.mktemp("store") / "out.ome.zarr"
    lattice = Lattice.regular(Shape(*pixels.shape[:2]), 1.0)
    array = da.from_array(pixels, chunks=(256, 256, 3))
    return write_ome_zarr(
        [array], path, lattice=lattice, name="out", channel_names=("R", "G", "B"), provenance=PROVENANCE
    )


@pytest.fixture(scope="session")
def picture(pixels: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One band of it as a PNG that knows no pixel size."""
    path = tmp_path_factory.mktemp("picture") / "grey.png"
    Image.fromarray(pixels[..., 2]).save(path)
    return path


@pytest.fixture(scope="session")
def canvas(make_pipeline: Callable[..., Any]) -> Any:
    """A virtual slide of 600 x 420 pixels."""
    return make_pipeline()("Invasive", size=(600, 420), seed=7, num_inference_steps=2)
