"""Training images and held-out ones: the left four fifths of every image, and the rest."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from sets import Part, Recipe

HELD_OUT = 0.2


def cut(recipe: Recipe, data: Path, work: Path) -> tuple[Path, Path, Path]:
    """Write both parts of every image at the pixel size of training.

    Args:
        recipe: of the model.
        data: folder of sample data.
        work: where ``train/LABEL/`` and ``held_out/LABEL/`` go; left alone if they are complete.

    Returns:
        the folder of training images, that of held-out images, and the table of the former's classes.
    """
    from infbrush_wsi.sources import collect

    folders, table = (work / "train", work / "held_out"), work / "images.csv"
    if not table.exists():
        rows = []
        for part in recipe.parts:
            for item in collect([data / part.where]).items:
                method = _cut_raster if Path(item.path).suffix == ".tif" else _cut_slide
                target = method(Path(item.path), part, recipe, folders)
                rows.append((str(target), part.label, _spacing(recipe)))
        with table.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "label", "mpp"])
            writer.writerows(rows)
    return *folders, table


def _spacing(recipe: Recipe) -> float | str:
    """For the table: micrometres per pixel of cut slides; rasters say it themselves."""
    return recipe.config["data"]["mpp"][0] if "mpp" in recipe.config["data"] else ""


def _cut_slide(path: Path, part: Part, recipe: Recipe, folders: tuple[Path, Path]) -> Path:
    from PIL import Image

    from infbrush_wsi.domain import Box
    from infbrush_wsi.sources.registry import open_source

    with open_source(path, mpp=part.mpp) as source:
        view = source.at(recipe.config["data"]["mpp"][0])
        h, w = view.shape.as_tuple()
        border = round(w * (1 - HELD_OUT))
        found = []
        for folder, box in zip(folders, (Box(0, 0, border, h), Box(border, 0, w - border, h)), strict=True):
            target = folder / part.label / f"{path.stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(view.read(box))).save(target)
            found.append(target)
    return found[0]


def _cut_raster(path: Path, part: Part, recipe: Recipe, folders: tuple[Path, Path]) -> Path:
    import rasterio
    from rasterio.windows import Window

    with rasterio.open(path) as raster:
        border = round(raster.width * (1 - HELD_OUT))
        windows = (Window(0, 0, border, raster.height), Window(border, 0, raster.width - border, raster.height))
        found = []
        for folder, window in zip(folders, windows, strict=True):
            target = folder / part.label / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            kept = {key: raster.profile[key] for key in ("driver", "dtype", "count", "crs", "nodata")}
            size = {"width": window.width, "height": window.height, "transform": raster.window_transform(window)}
            with rasterio.open(target, "w", **kept, **size) as out:
                out.write(raster.read(window=window))
            found.append(target)
    return found[0]
