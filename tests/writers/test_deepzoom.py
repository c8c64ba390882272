"""DeepZoom pyramids, put together again as their .dzi says and compared with OpenSlide's geometry."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import dask.array as da
import numpy as np
import pytest
from affine import Affine
from PIL import Image

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import BandMismatchError, ConfigError, OutputError, OutputExistsError, RegionError
from infbrush_wsi.writers.deepzoom import tiles_folder, write_deepzoom
from infbrush_wsi.writers.provenance import RECORD_FILE
from infbrush_wsi.writers.pyramid import halve

MADE = {"synthetic": True, "seed": 7}
SPACE = "{http://schemas.microsoft.com/deepzoom/2008}"


def image(h=301, w=517, c=3):
    return np.random.default_rng(3).integers(0, 256, (h, w, c), np.uint8)


def write(path, pixels, **changes):
    h, w, c = pixels.shape
    lattice = Lattice.regular(Shape(h, w), 0.5)
    array = da.from_array(pixels, chunks=(100, 100, c))
    return write_deepzoom(array, path, **{"lattice": lattice, "provenance": MADE, "tile_format": "png"} | changes)


def stitched(path, level, shape):
    """A level put together by its .dzi alone."""
    facts = ElementTree.fromstring(path.read_bytes())  # noqa: S314 (written by the test)
    side, overlap, suffix = int(facts.get("TileSize")), int(facts.get("Overlap")), facts.get("Format")
    whole, seen = np.zeros(shape, np.uint8), 0
    for y in range(0, shape[0], side):
        for x in range(0, shape[1], side):
            file = tiles_folder(path) / str(level) / f"{x // side}_{y // side}.{suffix}"
            tile = np.asarray(Image.open(file)).reshape(-1, Image.open(file).width, shape[2])
            top, left = y - overlap * (y > 0), x - overlap * (x > 0)
            bottom, right = min(shape[0], y + side + overlap), min(shape[1], x + side + overlap)
            assert tile.shape[:2] == (bottom - top, right - left)
            if seen:  # what is shared with the tiles before is the same
                known = whole[top:bottom, left:x]
                np.testing.assert_array_equal(tile[: y - top + side, : x - left], known[: y - top + side])
            whole[top:bottom, left:right] = tile
            seen += 1
    assert len(list((tiles_folder(path) / str(level)).iterdir())) == seen
    return whole


@pytest.mark.parametrize("shape", [(301, 517, 3), (255, 254, 1), (700, 3, 3), (1, 1, 3), (509, 508, 4)])
def test_tiles_hold_every_level_from_one_pixel_to_the_image(tmp_path, shape):
    pixels = image(*shape)
    path = write(tmp_path / "a.dzi", pixels)
    expected = [pixels if shape[2] != 4 else pixels[..., :3]]
    while max(expected[-1].shape[:2]) > 1:
        expected.append(halve(expected[-1].transpose(2, 0, 1)).transpose(1, 2, 0))
    size = ElementTree.fromstring(path.read_bytes()).find(f"{SPACE}Size")  # noqa: S314
    assert (int(size.get("Height")), int(size.get("Width"))) == shape[:2]
    folders = {folder.name for folder in tiles_folder(path).iterdir() if folder.is_dir()}
    assert folders == {str(level) for level in range(len(expected))}
    for level, wanted in enumerate(reversed(expected)):
        np.testing.assert_array_equal(stitched(path, level, wanted.shape), wanted)
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.dzi", "a_files"}


def test_geometry_is_that_of_openslide(tmp_path):
    openslide = pytest.importorskip("openslide")
    deepzoom = pytest.importorskip("openslide.deepzoom")
    pixels = image(600, 517)
    path = write(tmp_path / "a.dzi", pixels)
    theirs = deepzoom.DeepZoomGenerator(openslide.ImageSlide(Image.fromarray(pixels)), tile_size=254, overlap=1)
    assert ElementTree.canonicalize(path.read_text()) == ElementTree.canonicalize(theirs.get_dzi("png"))
    for level, (columns, rows) in enumerate(theirs.level_tiles):
        folder = tiles_folder(path) / str(level)
        assert len(list(folder.iterdir())) == columns * rows
        for column in range(columns):
            for row in range(rows):
                with Image.open(folder / f"{column}_{row}.png") as tile:
                    assert tile.size == theirs.get_tile_dimensions(level, (column, row))


def test_jpeg_tiles_are_close_to_a_smooth_image(tmp_path):
    y, x = np.mgrid[0:300, 0:400]
    pixels = np.stack([x / 2, y / 2, (x + y) / 4], axis=-1).astype(np.uint8)
    path = write(tmp_path / "a.dzi", pixels, tile_format="jpg")
    tile = np.asarray(Image.open(tiles_folder(path) / "9" / "1_0.jpg")).astype(int)
    assert tile.shape == (255, 147, 3)
    assert np.abs(tile - pixels[:255, 253:]).max() < 12


def test_the_folder_says_how_large_the_image_is_and_how_it_was_made(tmp_path):
    lattice = Lattice(Shape(301, 517), Affine(0.6, 0.1, 5e5, 0.1, -0.6, 4e6), "meter", "EPSG:26914")
    path = write(tmp_path / "a.dzi", image(), lattice=lattice)
    record = json.loads((tiles_folder(path) / RECORD_FILE).read_text())["infbrush_wsi"]
    assert record["lattice"]["transform"] == [0.6, 0.1, 5e5, 0.1, -0.6, 4e6]
    assert (record["lattice"]["unit"], record["lattice"]["crs"]) == ("meter", "EPSG:26914")
    assert (record["synthetic"], record["seed"], record["state"]) == (True, 7, "complete")


def test_every_row_is_computed_once_and_a_row_of_tiles_at_a_time(tmp_path):
    pixels = image(1000, 300)
    whole, asked, calls = da.from_array(pixels, chunks=(128, 128, 3)), [], []

    class Watched:
        shape, nbytes, ndim, dtype = whole.shape, whole.nbytes, whole.ndim, whole.dtype

        def __getitem__(self, rows):
            asked.append(range(*rows.indices(1000)))
            return whole[rows]

    lattice = Lattice.regular(Shape(1000, 300), 1)
    path = write_deepzoom(
        Watched(),
        tmp_path / "a.dzi",
        lattice=lattice,
        provenance=MADE,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert [row for rows in asked for row in rows] == list(range(1000))
    assert max(len(rows) for rows in asked) == 254
    tiles = len(list(tiles_folder(path).rglob("*.jpg")))
    assert calls == [(k, tiles) for k in range(1, tiles + 1)]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"lattice": Lattice.regular(Shape(10, 10), 1)}, RegionError),
        ({"tile_format": "webp"}, ConfigError),
        ({"provenance": {"state": "complete"}}, ConfigError),
        ({"path": "a.xml"}, ConfigError),
        ({"path": "no/folder/a.dzi"}, OutputError),
        ({"pixels": image(c=2)}, BandMismatchError),
    ],
)
def test_bad_input_leaves_nothing(tmp_path, change, error):
    given = {"path": "a.dzi", "pixels": image()} | change
    with pytest.raises(error):
        write(tmp_path / given.pop("path"), given.pop("pixels"), **given)
    assert list(tmp_path.iterdir()) == []


def test_only_pyramids_of_this_package_are_replaced(tmp_path, tree):
    path = write(tmp_path / "a.dzi", image(20, 30))
    with pytest.raises(OutputExistsError):
        write(path, image(40, 50))
    write(path, image(40, 50), overwrite=True)
    assert stitched(path, 6, (40, 50, 3)).shape == (40, 50, 3)
    theirs = tmp_path / "b_files"
    (theirs / "0").mkdir(parents=True)
    before = tree(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(OutputExistsError, match="b_files"):
            write(tmp_path / "b.dzi", image(40, 50), overwrite=overwrite)
    assert tree(tmp_path) == before
    assert theirs.is_dir()


def test_a_failing_block_leaves_the_old_pyramid(tmp_path, tree):
    def broken(block, block_info=None):
        if block_info[0]["array-location"][0][0] >= 300:
            raise RuntimeError("the disk of the source is gone")
        return block

    path = write(tmp_path / "a.dzi", image(20, 30))
    before = tree(tmp_path)
    level0 = da.from_array(image(), chunks=(100, 100, 3)).map_blocks(broken, dtype=np.uint8, meta=np.empty((0, 0, 0)))
    lattice = Lattice.regular(Shape(301, 517), 1)
    with pytest.raises(OutputError, match="the source is gone"):
        write_deepzoom(level0, path, lattice=lattice, provenance=MADE, overwrite=True)
    assert tree(tmp_path) == before
