"""A raster of the report: picture, facts and checks, read through rasterio."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from infbrush_wsi.report.content import Check, Raster
from infbrush_wsi.report.crops import to_rgb
from infbrush_wsi.sources.registry import open_source


def raster_content(path: Path, side: int) -> Raster:
    """Picture and facts of a georeferenced image.

    Args:
        path: of the raster.
        side: longer side of its picture in pixels.
    """
    with open_source(path) as source:
        pixels, _ = source.thumbnail(side)
        lattice = source.lattice
        left, top = lattice.transform @ (0.0, 0.0)
        right, bottom = lattice.transform @ (lattice.shape.w, lattice.shape.h)
        facts = {
            "file": path.name,
            "read by": source.name,
            "size": f"{lattice.shape.w} x {lattice.shape.h} px, {source.level_count} levels",
            "CRS": lattice.crs or "none",
            "pixel size": f"{lattice.spacing.x:g} {lattice.unit}",
            "bounds": f"{left:.1f}, {bottom:.1f} to {right:.1f}, {top:.1f}",
            "bands": ", ".join(source.channel_names),
        }
    infrared = np.ascontiguousarray(pixels[..., [3, 0, 1]]) if pixels.shape[-1] >= 4 else None
    return Raster(to_rgb(pixels), infrared, facts)


def raster_checks(path: Path) -> list[Check]:
    """That the reader sees the CRS, the transform and every pixel as rasterio itself does."""
    import rasterio

    with rasterio.open(path) as raster, open_source(path) as source:
        h, w = source.level_shapes[0]
        same = np.array_equal(np.moveaxis(raster.read(), 0, -1), source.read_region((0, 0), 0, (w, h)))
        placed = raster.transform == source.lattice.transform and raster.crs.to_string() == source.lattice.crs
        found = f"{source.name}: {w} x {h}, {source.lattice.crs}, {source.lattice.spacing.x:g} {source.lattice.unit}"
    text = f"{found}, pixels {'equal' if same else 'differ'}"
    return [Check(path.name, "GeoTIFF, read back: CRS, transform and pixels", text, bool(same and placed))]
