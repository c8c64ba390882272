"""Sets of small images on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter


def tissue_like(h: int, w: int, sigma: float, seed: int) -> np.ndarray:
    """Coloured smooth noise, uint8 (h, w, 3)."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=(h, w)), sigma)
    field = field / field.std()
    grain = rng.normal(0, 4, (h, w, 3))
    colour = np.array([190.0, 140.0, 180.0]) + field[..., None] * np.array([20.0, 30.0, 15.0])
    return np.clip(colour + grain, 0, 255).astype(np.uint8)


@pytest.fixture
def tissue() -> Callable[[int, int, float, int], np.ndarray]:
    """Make coloured smooth noise: height, width, smoothness, seed."""
    return tissue_like


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder of images: name, number, size, smoothness, first seed."""

    def make(name: str, count: int, size: tuple[int, int] = (96, 120), sigma: float = 2.0, seed: int = 0) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for index in range(count):
            pixels = tissue_like(size[1], size[0], sigma, seed + index)
            Image.fromarray(pixels).save(folder / f"{index:03d}.png")
        return folder

    return make
