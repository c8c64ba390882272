"""The demo's first pictures: images by the models that come with the package."""

from __future__ import annotations

from pathlib import Path

from infbrush_wsi.cli.rendering import write
from infbrush_wsi.models.shipped import shipped_models
from infbrush_wsi.pipelines.infbrush import InfBrushPipeline
from infbrush_wsi.report.checks import check_store
from infbrush_wsi.report.content import Check, Side
from infbrush_wsi.report.crops import side_of

SIDE, CROP = 512, 128
STEPS = 12


def shipped_images(folder: Path, seed: int) -> tuple[list[Side], list[Check]]:
    """An OME-Zarr of each shipped model's last class, its picture, and what others read in it.

    Args:
        folder: made, and filled with NAME.ome.zarr.
        seed: of the noise.
    """
    folder.mkdir(parents=True)
    sides, checks = [], []
    for name in shipped_models():
        pipe = InfBrushPipeline.from_pretrained(name)
        label = pipe.classes[-1] if pipe.classes else None
        canvas = pipe(label, (SIDE, SIDE), seed=seed, num_inference_steps=STEPS, guidance_scale=1.5)
        path = folder / f"{name}.ome.zarr"
        write(canvas, path, version="0.4")
        pixels = canvas.read_region((0, 0), 0, (SIDE, SIDE))
        if pipe.info.unit == "micrometer":  # ome-zarr and TIAToolbox are asked for slides, not for rasters
            checks += check_store(path, pixels, canvas.mpp)
        unit = "µm" if pipe.info.unit == "micrometer" else pipe.info.unit
        sides.append(
            side_of(pixels, f"{name}, {label}, {pipe.info.spacing[0]:g} {unit} per pixel", whole=SIDE, crop=CROP)
        )
    return sides, checks
