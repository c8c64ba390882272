"""Images that the tests write and read back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def texture(h: int, w: int, channels: int = 3, seed: int = 0) -> Pixels:
    """Smooth shapes with some noise: neither flat nor so rough that rounding rules decide a test."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(2, h // 16), max(2, w // 16), channels), dtype=np.uint8)
    bands = [
        np.asarray(Image.fromarray(coarse[..., c]).resize((w, h), Image.Resampling.BICUBIC)) for c in range(channels)
    ]
    noisy = np.stack(bands, axis=-1).astype(int) + rng.integers(-8, 9, (h, w, channels))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def halved(pixels: Pixels, factor: int) -> Pixels:
    h, w = pixels.shape[0] // factor * factor, pixels.shape[1] // factor * factor
    blocks = pixels[:h, :w].reshape(h // factor, factor, w // factor, factor, -1)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def write_slide(path: Path, levels: list[Pixels], mpp: float | None = 0.5, **options: Any) -> Path:
    """A pyramidal TIFF as OpenSlide reads it: successive pages, tiled, lossless."""
    tifffile = pytest.importorskip("tifffile")
    settings = {"tile": (128, 128), "photometric": "rgb", "compression": "zlib", "metadata": None, **options}
    with tifffile.TiffWriter(path) as writer:
        for index, pixels in enumerate(levels):
            if mpp is not None:
                scale = levels[0].shape[1] / pixels.shape[1]
                settings["resolution"] = (1e4 / (mpp * scale),) * 2
                settings["resolutionunit"] = "CENTIMETER"
            writer.write(pixels, subfiletype=int(index > 0), **settings)
    return path


def write_raster(path: Path, pixels: NDArray[Any], *, overviews: tuple[int, ...] = (), **profile: Any) -> Path:
    """A GeoTIFF; `pixels` are (h, w, C)."""
    rasterio = pytest.importorskip("rasterio")
    from rasterio.enums import ColorInterp, Resampling

    colours = profile.pop("colours", None)
    described = profile.pop("descriptions", None)
    mask = profile.pop("mask", None)
    h, w, count = pixels.shape
    base = {
        "driver": "GTiff",
        "height": h,
        "width": w,
        "count": count,
        "dtype": pixels.dtype,
        "tiled": True,
        "blockxsize": 64,
        "blockysize": 64,
        "compress": "deflate",
        "crs": "EPSG:32633",
        "transform": rasterio.transform.from_origin(500000, 5000000, 0.25, 0.25),
    }
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **{**base, **profile}) as raster:
        raster.write(np.moveaxis(pixels, -1, 0))
        if colours:
            raster.colorinterp = [ColorInterp[name] for name in colours]
        if described:
            raster.descriptions = described
        if mask is not None:
            raster.write_mask(mask)
        if overviews:
            raster.build_overviews(list(overviews), Resampling.average)
    return path


@pytest.fixture
def slide(tmp_path: Path) -> tuple[Path, list[Pixels]]:
    """A slide of three exact levels, and their pixels."""
    base = texture(512, 768)
    levels = [base, halved(base, 2), halved(base, 4)]
    return write_slide(tmp_path / "slide.tif", levels), levels


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """Finds a real sample file, or skips the test."""
    default = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    root = Path(os.environ.get("INFBRUSH_SHARED_DATA", default))

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"the shared sample {name} is not here")
        return root / name

    return find


@pytest.fixture
def make() -> Any:
    """The writers above, for tests that make their own files."""

    class Make:
        texture = staticmethod(texture)
        halved = staticmethod(halved)
        slide = staticmethod(write_slide)
        raster = staticmethod(write_raster)

    return Make
