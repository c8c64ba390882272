"""Small real images, as the package writes them, that several families damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIDE = (160, 128)


def write_images(folder: Path) -> None:
    """A slide, a raster and a plain image in every format of `infbrush export`; what is there is kept."""
    if (folder / "ready").exists():
        return
    from PIL import Image

    from infbrush_wsi.phantom.files import write_phantom_raster, write_phantom_slide

    write_phantom_slide(folder / "slide.tif", "Benign", size=SIDE, mpp=0.5)
    write_phantom_raster(folder / "raster.tif", size=SIDE, nodata=0)
    slide, raster = str(folder / "slide.tif"), str(folder / "raster.tif")
    for name in ("slide.png", "slide.jpg", "slide.ome.tif", "slide.dzi", "slide.dicom", "five.ome.zarr"):
        export(slide, str(folder / name))
    export(slide, str(folder / "four.ome.zarr"), ome_version="0.4")
    export(raster, str(folder / "map.ome.zarr"), layout="nested")
    with Image.open(folder / "slide.png") as picture:
        picture.convert("RGB").save(folder / "slide.bmp")
        picture.convert("RGB").save(folder / "slide.webp")
        picture.convert("RGBA").save(folder / "alpha.png")
        picture.convert("P").save(folder / "palette.png")
        picture.convert("RGB").save(folder / "plain.tif")
    (folder / "ready").touch()


def export(source: str, out: str, **options: Any) -> None:
    """`infbrush export`."""
    from infbrush_wsi.cli.export import export as command

    command(source, Path(out), **options)


def look(path: Path, **how: Any) -> None:
    """All that is done with an image: opened, described, masked, read at its levels and at another pixel size."""
    from infbrush_wsi.domain import Box
    from infbrush_wsi.sources.registry import open_source

    with open_source(path, **how) as source:
        repr(source)
        assert len(source.fingerprint) == 32
        source.mask(128)
        for level in range(source.level_count):
            source.read_region((0, 0), level, (64, 64))
        source.read_box(Box(-20, 40, 100, 100))
        if source.lattice.unit != "pixel":
            view = source.at(2.5 * source.lattice.spacing.x)
            view.read(Box(-4, -4, 32, 32), fill="reflect")
