"""Levels: shapes, means, and what is refused."""

import itertools

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import OutputError, RegionError
from infbrush_wsi.writers.pyramid import MAX_LEVELS, check_complete, check_levels, halve, level_shapes

LATTICE = Lattice.regular(Shape(11, 8), 0.5)


@given(arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))))
def test_halving_is_the_mean_of_existing_pixels_rounded_half_up(image):
    low = halve(image)
    assert low.dtype == np.uint8
    assert low.shape == (image.shape[0], -(-image.shape[1] // 2), -(-image.shape[2] // 2))
    for (c, i, j), value in np.ndenumerate(low):
        cell = image[c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].astype(float)
        assert value == np.floor(cell.mean() + 0.5)


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_flat_images_stay_flat(value):
    assert (halve(np.full((3, 5, 5), value, np.uint8)) == value).all()


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600))
def test_levels_halve_until_they_fit_in_a_chunk(h, w, chunk):
    shapes = level_shapes(Shape(h, w), 1, chunk)
    assert shapes[0] == Shape(h, w)
    for finer, coarser in itertools.pairwise(shapes):
        assert (coarser.h, coarser.w) == (-(-finer.h // 2), -(-finer.w // 2))
        assert max(finer.h, finer.w) > chunk
    assert max(shapes[-1].h, shapes[-1].w) <= chunk or len(shapes) == MAX_LEVELS


def level(*shape, dtype=np.uint8):
    return da.zeros(shape, dtype=dtype, chunks=4)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([], "1 to 10 levels"),
        ([level(1, 1, 3)] * 11, "1 to 10 levels"),
        ([level(11, 8)], "level 0 must be a uint8 array"),
        ([level(11, 8, 0)], "level 0 must be a uint8 array"),
        ([level(11, 8, 3, dtype=np.float32)], "not float32"),
        ([level(3, 11, 8)], r"must be \(11, 8, 8\)"),
        ([level(8, 11, 3)], r"must be \(11, 8, 3\)"),
        ([level(11, 8, 3), level(5, 4, 3)], r"level 1 .* must be \(6, 4, 3\)"),
        ([level(11, 8, 3), level(6, 4, 1)], r"level 1 .* must be \(6, 4, 3\)"),
        ([da.from_array(np.zeros((11, 8, 3), np.uint8))[da.ones(11, dtype=bool)]], "known shape"),
    ],
)
def test_levels_that_do_not_fit_are_named(levels, message):
    with pytest.raises(RegionError, match=message):
        check_levels(levels, LATTICE)


def test_an_empty_image_is_refused():
    with pytest.raises(RegionError, match="0 x 5"):
        check_levels([level(5, 0, 3)], Lattice.regular(Shape(5, 0), 0.5))


def test_a_lost_chunk_is_noticed(tmp_path):
    import zarr

    array = zarr.create_array(tmp_path / "a.zarr", shape=(3, 20, 20), chunks=(3, 10, 10), dtype="uint8")
    array[...] = 1
    check_complete([array])
    (tmp_path / "a.zarr" / "c" / "0" / "1" / "0").unlink()
    with pytest.raises(OutputError, match="3 of 4 chunks"):
        check_complete([array])
