"""Runs small enough to be trained in a test: real PNG files, the real loop, a network of a few thousand weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.training.config import RunConfig

SMALL_MODEL: dict[str, Any] = {
    "width": 8,
    "blocks": 1,
    "kernel_size": 3,
    "grid_side": 8,
    "grid_width": 8,
    "grid_multipliers": (1, 2),
    "grid_attention_from": 1,
    "embedding_width": 16,
    "cano_heads": 2,
    "dropout": 0.1,
}


def write_images(folder: Path) -> Path:
    """Two classes of different colour, one of them with two images."""
    rng = np.random.default_rng(0)
    for name, colour, count in (("benign", (200, 120, 160), 1), ("invasive", (90, 70, 150), 2)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            coarse = rng.integers(-60, 60, (12, 10, 3))
            fine = np.kron(coarse, np.ones((8, 8, 1), int)) + rng.integers(-10, 10, (96, 80, 3))
            pixels = np.clip(np.array(colour) + fine, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{name}-{k}.png")
    return folder


def run_values(images: Path, **changes: Any) -> dict[str, Any]:
    """Plain values of a small run; `changes` are 'part__field' = value."""
    values: dict[str, Any] = {
        "data": {
            "sources": [str(images)],
            "labels": "folder",
            "assume_mpp": 0.5,
            "window": 32,
            "points": 160,
            "workers": 0,
        },
        "model": {"preset": "tiny", "overrides": dict(SMALL_MODEL)},
        "optim": {"steps": 12, "batch": 2, "learning_rate": 0.01, "warmup": 3, "seed": 5},
        "record": {"log_every": 1, "checkpoint_every": 6},
    }
    values["data"]["sampler_options"] = {"window": 8}
    for name, value in changes.items():
        part, field = name.split("__")
        values[part][field] = value
    return values


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images")


@pytest.fixture
def config(images: Path) -> Callable[..., RunConfig]:
    """Makes configurations of runs on `images`."""
    return lambda **changes: RunConfig.parse(run_values(images, **changes))


@pytest.fixture(autouse=True)
def _on_one_thread(one_thread: None) -> None:
    """Every test of this folder."""
