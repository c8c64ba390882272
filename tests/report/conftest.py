"""A report of made-up pictures."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.report.content import Check, Content, Pair, Raster
from infbrush_wsi.report.crops import side_of

CLASSES = ("Benign", "In & Situ")


def picture(seed: int, h: int = 300, w: int = 200, c: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, c), np.uint8)


@pytest.fixture
def content() -> Content:
    def side(seed: int, caption: str):
        return side_of(picture(seed), caption, whole=128, crop=64)

    return Content(
        title="a <demo> & more",
        summary={"model": "tiny <b>"},
        pairs=[
            Pair(name, side(k, f"{name}.tif"), side(k + 9, "made")) for k, name in enumerate(("Benign", "In & Situ"))
        ],
        loss=([1.0, 2.0, 3.0], [1.0, 0.6, 0.5]),
        checks=[
            Check("a.ome.zarr", "pixels", "0 values differ", True),
            Check("b.ome.zarr", "pixels", "tiatoolbox is not installed", None),
        ],
        timings={"training": 120.0, "report": 3.25},
        notes=["Short."],
        versions={"torch": "2.x"},
        raster=Raster(picture(5), picture(6), {"CRS": "EPSG:26914", "pixel size": "0.6 meter"}),
    )
