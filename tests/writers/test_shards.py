"""Shards: several chunks in a file, which one task writes whole, so that no other can take a part of it away."""

import numpy as np
import ome_zarr.io
import ome_zarr.reader
import ome_zarr_models.v05
import pytest
import zarr

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import ConfigError, OutputError
from infbrush_wsi.writers import write_ome_zarr
from infbrush_wsi.writers.pyramid import check_complete, halve


@pytest.fixture
def write(tmp_path, lazy):
    def write_one(image, shard=4, block=50, **options):
        path = tmp_path / "image.ome.zarr"
        options = {"lattice": Lattice.regular(Shape(*image.shape[:2]), 0.5), "name": "x", "chunk": 32, **options}
        return write_ome_zarr([lazy(image, block)], path, shard=shard, **options)

    return write_one


def levels_of(path):
    root = zarr.open_group(str(path), mode="r")
    return [root[dataset["path"]] for dataset in root.attrs["ome"]["multiscales"][0]["datasets"]]


@pytest.mark.parametrize("shard", [1, 3, 4, 100])
@pytest.mark.parametrize("block", [16, 32, 50, 128])
@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_no_pixel_is_lost(write, pixels, shard, block, layout):
    """Also where the source's blocks are much smaller than a shard, and many threads write."""
    image = pixels(333, 500)
    arrays = levels_of(write(image, shard, block, layout=layout))
    wanted = image.transpose(2, 0, 1)
    assert len(arrays) == 5
    for array in arrays:
        np.testing.assert_array_equal(array[:], wanted)
        assert array.chunks == (3, min(32, wanted.shape[1]), min(32, wanted.shape[2]))
        assert all(side % chunk == 0 for side, chunk in zip(array.shards, array.chunks, strict=True))
        wanted = halve(wanted)


def test_a_shard_is_one_file_and_the_unit_of_progress(write, pixels):
    calls = []
    path = write(pixels(300, 500), progress=lambda done, total: calls.append((done, total)))
    files = [path for path in path.rglob("*") if path.is_file() and path.name != "zarr.json"]
    assert len(files) == 3 * 4 + 2 * 2 + 1 + 1 + 1
    assert calls == [(done, len(files)) for done in range(1, len(files) + 1)]


def test_each_source_block_is_made_once(write, pixels, counting):
    image = counting(pixels(300, 500))
    write(image)
    assert set(image.asked.values()) == {1}


def test_black_shards_and_chunks_are_on_disk(write):
    path = write(np.zeros((300, 500, 3), np.uint8))
    arrays = levels_of(path)
    check_complete(arrays)
    assert not any(array[:].any() for array in arrays)


def test_a_lost_shard_is_noticed(write, pixels):
    path = write(pixels(300, 500))
    (path / "0" / "c" / "0" / "2" / "1").unlink()
    with pytest.raises(OutputError, match="11 of 12 shards"):
        check_complete(levels_of(path))


def test_readers_of_version_05_read_shards(write, pixels):
    image = pixels(300, 500)
    path = write(image)
    ome_zarr_models.v05.Image.from_zarr(zarr.open_group(str(path), mode="r"))
    (node,) = ome_zarr.reader.Reader(ome_zarr.io.parse_url(str(path)))()
    np.testing.assert_array_equal(node.data[0].compute().transpose(1, 2, 0), image)


def test_version_04_has_no_shards(write, pixels, tmp_path):
    with pytest.raises(ConfigError, match=r"0\.4.*no shards"):
        write(pixels(10, 10), version="0.4")
    assert list(tmp_path.iterdir()) == []
