"""Images in files: slides, rasters, photographs, DICOM."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

from image_headers import size_changed, tag_changed
from mutate_bytes import damage_file, png_bomb

from targets.images import look, write_images

FILES = (
    "slide.tif", "slide.tif", "raster.tif", "raster.tif", "slide.ome.tif", "plain.tif", "slide.png", "alpha.png",
    "palette.png", "slide.jpg", "slide.bmp", "slide.webp", "slide.dicom",
)  # fmt: skip
VRT = """<VRTDataset rasterXSize="{w}" rasterYSize="{h}"><GeoTransform>{place}</GeoTransform>
<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename relativeToVRT="{relative}">{path}</SourceFilename>
<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"""


def prepare(folder: Path) -> None:
    """Write the images and read each once."""
    write_images(folder)
    for name in sorted({*FILES} - {"slide.dicom"}):
        look(folder / name, mpp=None if name == "raster.tif" else 0.5)


def mutate(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    """One damaged image."""
    plan: dict[str, Any] = {"mpp": rng.choice((None, None, 0.5))}
    plan["reader"] = rng.choice((None,) * 6 + ("openslide", "rasterio", "image", "ome_zarr"))
    roll = rng.random()
    if roll < 0.03:
        width, height = rng.choice(((60_000, 60_000), (1_000_000, 1_000_000), (12_000, 12_000), (2**31 - 1, 1)))
        (case / "bomb.png").write_bytes(png_bomb(min(width, 12_000), height, min(height, 12_000)) if width == 12_000
                                        else png_bomb(1, 1)[:16] + png_bomb(width, height, 0)[16:])  # fmt: skip
        return plan | {"file": "bomb.png", "mutations": f"bomb of {width} x {height}"}
    if roll < 0.06:
        return plan | _virtual(rng, case)
    name = rng.choice(FILES)
    if name == "slide.dicom":
        return plan | _dicom(rng, seeds, case)
    target = case / rng.choice(
        (name, name, name, f"other{rng.choice(('.svs', '.png', '.tif', '.ndpi', '.dcm', '.xyz'))}")
    )
    shutil.copyfile(seeds / name, target)
    if roll < 0.5 and target.read_bytes()[:2] in (b"II", b"MM"):
        data, said = tag_changed(rng, target.read_bytes())
    elif roll < 0.2:
        data, said = size_changed(rng, target.read_bytes())
    else:
        return plan | {"file": target.name, "mutations": damage_file(rng, target)}
    target.write_bytes(data)
    return plan | {"file": target.name, "mutations": f"{name}: {said}"}


def _dicom(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    shutil.copytree(seeds / "slide.dicom", case / "slide.dicom")
    files = sorted((case / "slide.dicom").glob("*.dcm"))
    said = damage_file(rng, rng.choice(files))
    return {"file": f"slide.dicom/{files[0].name}", "mutations": said}


def _virtual(rng: random.Random, case: Path) -> dict[str, Any]:
    """GDAL's virtual rasters point to other files: to themselves, to what is no image, to what is secret."""
    path, relative = rng.choice((("image.vrt", 1), ("/etc/passwd", 0), ("../../x.tif", 1), ("/vsizip/x", 0), ("", 1)))
    sides = rng.choice(((64, 64), (100_000, 100_000), (0, 0), (-1, 5), (2**31 - 1, 2**31 - 1)))
    place = rng.choice(("0,1,0,0,0,-1", "nan,nan,nan,nan,nan,nan", "0,0,0,0,0,0", "1e308,1e308,0,0,0,-1e308", "x"))
    text = VRT.format(w=sides[0], h=sides[1], place=place, relative=relative, path=path)
    (case / "image.vrt").write_text(text)
    return {"file": "image.vrt", "mutations": f"virtual raster of {path}, {sides}, {place}"}


def run(plan: dict[str, Any], case: Path, out: Path) -> None:
    """Open it and read."""
    look(case / plan["file"], mpp=plan["mpp"], reader=plan["reader"])
