"""Annotations: GeoJSON, label rasters, label tables, stored layouts, masks."""

from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path
from typing import Any

from image_headers import size_changed, tag_changed
from mutate_bytes import damage_file, png_bomb
from mutate_documents import HOSTILE, damage_json

KINDS = ("geojson", "geojson", "geojson", "raster", "table", "layout", "layout", "mask")
RING = [[0, 0], [40, 0], [40, 30], [0, 30], [0, 0]]
HOLE = [[10, 10], [20, 10], [20, 20], [10, 10]]
RASTERS = ("labels.png", "labels.tif", "sixteen.png")


def prepare(folder: Path) -> None:
    """Write the files, and read each once."""
    if not (folder / "ready").exists():
        _write(folder)
        (folder / "ready").touch()
    for kind, file in (("geojson", "areas.geojson"), ("raster", "labels.png"), ("raster", "labels.tif"),
                       ("raster", "sixteen.png"), ("table", "table.csv"), ("layout", "raster.json"),
                       ("layout", "polygons.json"), ("layout", "grid.json"), ("mask", "mask.geojson")):  # fmt: skip
        run({"kind": kind, "file": file}, folder, folder)


def _write(folder: Path) -> None:
    import numpy as np
    from affine import Affine
    from PIL import Image

    from infbrush_wsi._optional import require
    from infbrush_wsi.conditioning.layout import EmbeddingGrid, RasterLayout, polygons_from_geojson

    parts = [({"classification": {"name": "a"}}, "Polygon", [RING, HOLE]), ({"class": "b"}, "MultiPolygon", [[RING]]),
             ({"classification": {"names": ["a", "b"]}}, "Polygon", [RING])]  # fmt: skip
    features = [{"type": "Feature", "properties": p, "geometry": {"type": k, "coordinates": c}} for p, k, c in parts]
    document = json.dumps({"type": "FeatureCollection", "features": features})
    for name in ("areas.geojson", "mask.geojson"):
        (folder / name).write_text(document)
    values = np.arange(48, dtype=np.uint8).reshape(6, 8) % 4
    Image.fromarray(values).save(folder / "labels.png")
    Image.fromarray(values.astype(np.uint16)).save(folder / "sixteen.png")
    rasterio = require("rasterio", extra="geo", purpose="write label rasters")
    place = {"crs": "EPSG:32633", "transform": Affine(2.0, 0.0, 5e5, 0.0, -2.0, 5e6)}
    with rasterio.open(
        folder / "labels.tif", "w", driver="GTiff", height=6, width=8, count=1, dtype="uint8", **place
    ) as raster:
        raster.write(values, 1)
    (folder / "table.csv").write_text("path,label,group,mpp\nlabels.png,a,g,0.5\nsixteen.png,b,h,\n")
    layouts = {
        "raster": RasterLayout(values, {1: "a", 2: "b", 3: [0.5, 1.0]}, 2.0),
        "grid": EmbeddingGrid(np.ones((3, 4, 5), np.float32), 8.0),
        "polygons": polygons_from_geojson(folder / "areas.geojson", cell=2.0, mpp=0.5),
    }
    for name, layout in layouts.items():
        (folder / f"{name}.json").write_text(layout.to_json())


def mutate(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    """One damaged file."""
    kind = rng.choice(KINDS)
    if kind == "raster":
        return {"kind": kind} | _raster(rng, seeds, case)
    if kind == "table":
        return {"kind": kind} | _table(rng, seeds, case)
    name = rng.choice(("raster.json", "grid.json", "polygons.json")) if kind == "layout" else (
        "mask.geojson" if kind == "mask" else "areas.geojson")  # fmt: skip
    shutil.copyfile(seeds / name, case / name)
    return {"kind": kind, "file": name, "mutations": damage_json(rng, case / name)}


def _raster(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    name = rng.choice(RASTERS)
    target = case / name
    shutil.copyfile(seeds / name, target)
    roll = rng.random()
    if roll < 0.05:
        target.write_bytes(png_bomb(16_385, 16_385, 100) if roll < 0.03 else png_bomb(9000, 9000))
        return {"file": name, "mutations": "a bomb"}
    if roll < 0.5:
        data, said = (tag_changed if name.endswith(".tif") else size_changed)(rng, target.read_bytes())
        target.write_bytes(data)
        return {"file": name, "mutations": said}
    return {"file": name, "mutations": damage_file(rng, target)}


def _table(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    for name in ("labels.png", "sixteen.png", "table.csv"):
        shutil.copyfile(seeds / name, case / name)
    table = case / "table.csv"
    if rng.random() < 0.4:
        return {"file": "table.csv", "mutations": damage_file(rng, table)}
    rows = list(csv.reader(table.read_text().splitlines()))
    row, column = rng.randrange(len(rows)), rng.randrange(4)
    rows[row][column] = value = str(rng.choice(HOSTILE) if rng.random() < 0.9 else "0" * 200_000)[:200_000]
    with table.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
        try:
            csv.writer(file).writerows(rows)
        except csv.Error:
            file.write("\x00")
    return {"file": "table.csv", "mutations": f"{row}, {column}: {value[:40]!r}"}


def run(plan: dict[str, Any], case: Path, out: Path) -> None:
    """Read it, and use it."""
    from infbrush_wsi.conditioning.layout import layout_from_json, polygons_from_geojson, raster_from_file
    from infbrush_wsi.domain import Box

    path = case / plan["file"]
    if plan["kind"] == "table":
        from infbrush_wsi.sources import collect

        collect([case], labels=path).check(min_shape=(2, 2)).manifest()
        return
    if plan["kind"] == "mask":
        _mask(path)
        return
    if plan["kind"] == "geojson":
        layout: Any = polygons_from_geojson(path, cell=2.0, mpp=0.5)
    elif plan["kind"] == "raster":
        layout = raster_from_file(path, conditions={k: f"c{k}" for k in range(1, 256)}, pixel=2.0)
    else:
        layout = layout_from_json(path.read_bytes().decode("utf-8", "replace"))
    layout.index(Box(-3, 0, 16, 16))
    layout.weights([0.5, 1.5, 20.0], [1.0, 2.0])
    layout.weights_at([[0.1, 0.2], [30.0, 5.0]])
    assert len(layout.token) == 64
    layout.provenance()


def _mask(path: Path) -> None:
    import numpy as np

    from infbrush_wsi.pipelines.hole_mask import hole_from
    from infbrush_wsi.sources import ArraySource
    from infbrush_wsi.sources.lazy import lazy_region

    hole_from(path, lazy_region(ArraySource(np.zeros((64, 64, 3), np.uint8), mpp=0.5)))
