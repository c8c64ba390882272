"""Data sets of a small model, and real images beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from infbrush_wsi.augment import Synthesis, SyntheticDataset

SYNTHESIS: dict[str, Any] = {"size": (40, 36), "num_inference_steps": 2, "guidance_scale": 1.0, "seed": 3}


@pytest.fixture(scope="session")
def pipeline(make_pipeline):
    return make_pipeline()


@pytest.fixture
def make_set(pipeline):
    """Make a data set of 3 images a class; changes of the synthesis by name."""

    def make(per_class=3, *, model=None, classes=None, cache=None, transform=None, **synthesis):
        settings = Synthesis(**SYNTHESIS | synthesis)
        return SyntheticDataset(
            model or pipeline, per_class, classes=classes, synthesis=settings, cache=cache, transform=transform
        )

    return make


@pytest.fixture
def real_folder(tmp_path):
    """A class folder tree as torchvision reads it, of noise with a colour for each class."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, colour in (("Benign", 90), ("Invasive", 150), ("Normal", 210)):
        (tmp_path / "real" / name).mkdir(parents=True)
        for number in range(4):
            pixels = np.clip(colour + rng.normal(0, 20, (36, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "real" / name / f"{number}.png")
    return tmp_path / "real"
