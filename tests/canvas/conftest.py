"""One canvas of three levels, rendered once."""

from __future__ import annotations

from typing import Any

import pytest

CALL: dict[str, Any] = {"condition": "Invasive", "seed": 3, "num_inference_steps": 2, "tile": 128, "size": (613, 41)}
JOINT: dict[str, Any] = CALL | {"engine": "joint"}


@pytest.fixture(scope="session")
def make_canvas(make_pipeline):
    """Make a canvas of 613 x 41 pixels that nobody has read; arguments of the call by name."""
    pipeline = make_pipeline()
    return lambda **changes: pipeline(**JOINT | changes)


@pytest.fixture(scope="session")
def canvas(make_canvas):
    return make_canvas().render()


@pytest.fixture(scope="session")
def raster(make_pipeline):
    """A canvas of four bands on a CRS, 300 x 40 pixels of 1 m (half the trained 2 m), rendered."""
    bands = ("Red", "Green", "Blue", "NIR")
    info = {"spacing": (2.0,), "unit": "meter", "crs": "EPSG:26914", "channel_names": bands}
    pipeline = make_pipeline(channels=4, classes=(), info=info)
    return pipeline(
        size=(300, 40), resolution=1.0, origin=(500_000.0, 4_420_000.0), num_inference_steps=1, tile=128, engine="joint"
    ).render()
