"""A slide and a raster that are canvases, and the stores that they are written to."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def slide(make_pipeline):
    """A canvas of three levels of 0.5 µm per pixel, rendered."""
    call = {"condition": "Invasive", "seed": 3, "num_inference_steps": 1, "tile": 128, "engine": "joint"}
    return make_pipeline()(size=(613, 141), **call).render()


@pytest.fixture(scope="session")
def raster(make_pipeline):
    """A canvas of four bands and two levels on a CRS, 1 m per pixel, rendered."""
    bands = ("Red", "Green", "Blue", "NIR")
    info = {"spacing": (1.0,), "unit": "meter", "crs": "EPSG:26914", "channel_names": bands}
    pipeline = make_pipeline(channels=4, classes=(), info=info)
    origin = (500_000.0, 4_420_000.0)
    return pipeline(size=(300, 71), origin=origin, num_inference_steps=1, tile=128, engine="joint").render()


@pytest.fixture(scope="session")
def levels():
    """All levels of a canvas by `read_region`, uint8 (h, w, C) each."""
    return lambda canvas: [canvas.read_region((0, 0), k, (w, h)) for k, (h, w) in enumerate(canvas.level_shapes)]


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Write a canvas once in each form; gives the path of the store."""
    made = {}

    def write(canvas, version="0.5", layout="flat"):
        key = (canvas.token, version, layout)
        if key not in made:
            path = tmp_path_factory.mktemp("stores") / f"{layout}.ome.zarr"
            made[key] = canvas.write_ome_zarr(path, version, layout=layout, chunk=64)
        return made[key]

    return write
