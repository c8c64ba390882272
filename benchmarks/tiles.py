"""Real tiles for comparisons of models, cut once into training tiles and windows that training never sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import harness
import numpy as np
from numpy.typing import NDArray

WINDOW = 128
PER_TILE = 2
HELD_OUT = 0.25
UNSQUEEZED = (341, 224)
"""Width and height that undo the squeezing of BreakHis' 700 x 460 pictures into squares."""
RASTER_TILE = 256
MOST_EMPTY = 0.01
SETS = ("hne", "aerial")

Tile = tuple[str, NDArray[np.uint8]]


def prepare(kind: str, folder: Path, window: int = WINDOW) -> None:
    """Write ``train/CLASS/*.png``, and windows as ``held_out/CLASS/`` and, of training tiles, ``seen/CLASS/``.

    Args:
        kind: 'hne': BreakHis, 200x, eight classes, a quarter of each class's tiles held out; patients are on both
            sides, as it is asked how well a distribution is learned, not how well it carries over to new patients.
            'aerial': three rasters of 0.1 to 0.25 m cut into tiles, a class each, the last quarter of the columns held
            out.
        folder: created; left alone if it is complete.
        window: side of the windows in pixels, at most 128.
    """
    done = folder / "complete"
    if done.exists():
        return
    counts: dict[str, int] = {}
    for part, (label, pixels) in _split_hne() if kind == "hne" else _split_aerial():
        number = counts[part] = counts.get(part, 0) + 1
        if part == "train":
            _save(pixels, folder / "train" / label / f"{number:05d}.png")
        rng = np.random.default_rng([7, number])
        for k in range(PER_TILE):
            y, x = (int(rng.integers(side - window + 1)) for side in pixels.shape[:2])
            cut = pixels[y : y + window, x : x + window]
            _save(cut, folder / ("seen" if part == "train" else "held_out") / label / f"{number:05d}_{k}.png")
    done.touch()


def _split_hne() -> Iterator[tuple[str, Tile]]:
    from PIL import Image

    rng = np.random.default_rng(0)
    for label in sorted((harness.shared_data() / "hne" / "breakhis_200x_224").iterdir()):
        paths = sorted(label.iterdir())
        held = set(rng.permutation(len(paths))[: round(HELD_OUT * len(paths))].tolist())
        for index, path in enumerate(paths):
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB").resize(UNSQUEEZED, Image.Resampling.BICUBIC))
            yield ("held_out" if index in held else "train"), (label.name, pixels)


def _split_aerial() -> Iterator[tuple[str, Tile]]:
    import rasterio

    for number, path in enumerate(sorted((harness.shared_data() / "aerial" / "rgb_10cm").glob("*.tif")), 1):
        with rasterio.open(path) as raster:
            pixels = np.moveaxis(raster.read((1, 2, 3)), 0, -1)
        border = round(pixels.shape[1] * (1 - HELD_OUT))
        for part, columns in (("train", pixels[:, :border]), ("held_out", pixels[:, border:])):
            for tile in _cut(columns):
                yield part, (f"scene_{number}", tile)


def _cut(pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Tiles side by side, without those that reach into a raster's black border."""
    for y in range(0, pixels.shape[0] - WINDOW + 1, RASTER_TILE):
        for x in range(0, pixels.shape[1] - WINDOW + 1, RASTER_TILE):
            tile = pixels[y : y + RASTER_TILE, x : x + RASTER_TILE]
            if min(tile.shape[:2]) >= WINDOW and (tile.max(axis=-1) == 0).mean() <= MOST_EMPTY:
                yield tile


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)
