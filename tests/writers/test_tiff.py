"""TIFF pyramids, read back by tifffile and OpenSlide."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from affine import Affine

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import BandMismatchError, ConfigError, OutputError, OutputExistsError, RegionError
from infbrush_wsi.writers.description import from_description
from infbrush_wsi.writers.pyramid import halve
from infbrush_wsi.writers.tiff import write_ome_tiff, write_tiff

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")
MADE = {"synthetic": True, "seed": 7, "note": "µ & <tag>"}


def image(h=301, w=517, c=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, c), np.uint8)


def lazy(pixels, chunk=100):
    return da.from_array(pixels, chunks=(chunk, chunk, pixels.shape[2]))


def levels_of(pixels):
    levels = [pixels]
    while max(levels[-1].shape[:2]) > 256:
        levels.append(halve(levels[-1].transpose(2, 0, 1)).transpose(1, 2, 0))
    return levels


def test_openslide_sees_all_levels_and_both_pixel_sizes(tmp_path):
    openslide = pytest.importorskip("openslide")
    pixels = image()
    lattice = Lattice(Shape(301, 517), Affine.scale(0.25, 0.5))
    path = write_tiff(lazy(pixels), tmp_path / "a.tif", lattice=lattice, provenance=MADE, compression="deflate")
    with openslide.OpenSlide(path) as slide:
        assert slide.level_dimensions == ((517, 301), (259, 151), (130, 76))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.25, rel=1e-5)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.5, rel=1e-5)
        assert from_description(slide.properties["tiff.ImageDescription"]) == MADE
        for number, expected in enumerate(levels_of(pixels)):
            found = slide.read_region((0, 0), number, slide.level_dimensions[number]).convert("RGB")
            np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_ome_tiff_holds_pixels_sizes_and_provenance(tmp_path, channels):
    pixels = image(c=channels)
    path = write_ome_tiff(
        lazy(pixels),
        tmp_path / "a.ome.tif",
        lattice=Lattice.regular(Shape(301, 517), 0.5, "meter"),
        name="a title",
        provenance=MADE,
        compression="deflate",
    )
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        levels = tiff.series[0].levels
        assert len(levels) == 3
        for level, expected in zip(levels, levels_of(pixels), strict=True):
            np.testing.assert_array_equal(level.asarray().reshape(expected.shape), expected)
        facts = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
        assert facts["Name"] == "a title"
        assert facts["Pixels"]["PhysicalSizeX"] == 500_000
        assert facts["Pixels"]["PhysicalSizeXUnit"] == "µm"
        assert from_description(tiff.ome_metadata) == MADE


def test_jpeg_is_close_to_a_smooth_image(tmp_path):
    y, x = np.mgrid[0:300, 0:400]
    pixels = np.stack([x / 2, y / 2, (x + y) / 4], axis=-1).astype(np.uint8)
    path = write_tiff(lazy(pixels), tmp_path / "a.tif", lattice=Lattice.regular(Shape(300, 400), 1), provenance=MADE)
    found = tifffile.imread(path).astype(int)
    assert np.abs(found - pixels).max() < 12


def test_progress_counts_every_tile_of_every_level(tmp_path):
    calls = []
    write_tiff(
        lazy(image()),
        tmp_path / "a.tif",
        lattice=Lattice.regular(Shape(301, 517), 1),
        provenance=MADE,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(k, 9) for k in range(1, 10)]


def test_an_unknown_pixel_size_is_not_invented(tmp_path):
    path = write_tiff(
        lazy(image()), tmp_path / "a.tif", lattice=Lattice.regular(Shape(301, 517), 1, "pixel"), provenance=MADE
    )
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].tags["ResolutionUnit"].value == 1


def test_memory_holds_a_row_of_tiles_only(tmp_path):
    """Every row of level 0 is computed once, and never more than a row of tiles at a time."""
    whole, asked = lazy(image(1024, 300), 128), []

    class Watched:
        shape, nbytes, ndim, dtype = whole.shape, whole.nbytes, whole.ndim, whole.dtype

        def __getitem__(self, rows):
            asked.append(range(*rows.indices(1024)))
            return whole[rows]

    write_tiff(Watched(), tmp_path / "a.tif", lattice=Lattice.regular(Shape(1024, 300), 1), provenance=MADE)
    assert [row for rows in asked for row in rows] == list(range(1024))
    assert max(len(rows) for rows in asked) == 256


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"lattice": Lattice.regular(Shape(10, 10), 1)}, RegionError),
        ({"compression": "webp"}, ConfigError),
        ({"path": "no/folder/a.ome.tif"}, OutputError),
        ({"level0": da.zeros((301, 517, 4), dtype=np.uint8)}, ConfigError),
        (
            {"level0": da.zeros((301, 517, 4), dtype=np.uint8), "compression": "deflate", "channel_names": ("a",)},
            BandMismatchError,
        ),
    ],
)
def test_bad_input_leaves_nothing(tmp_path, change, error):
    given = {"level0": lazy(image()), "path": "a.ome.tif", "lattice": Lattice.regular(Shape(301, 517), 1)} | change
    level0, path = given.pop("level0"), tmp_path / given.pop("path")
    with pytest.raises(error):
        write_ome_tiff(level0, path, name="x", provenance=MADE, **given)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_block_leaves_the_old_file(tmp_path):
    def broken(block):
        raise RuntimeError("the disk of the source is gone")

    path = tmp_path / "a.tif"
    path.write_bytes(b"old")
    level0 = lazy(image()).map_blocks(broken, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    lattice = Lattice.regular(Shape(301, 517), 1)
    with pytest.raises(OutputExistsError):
        write_tiff(level0, path, lattice=lattice, provenance=MADE)
    with pytest.raises(OutputError, match="the source is gone"):
        write_tiff(level0, path, lattice=lattice, provenance=MADE, overwrite=True)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
