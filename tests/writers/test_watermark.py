"""Watermarks: the same whatever the chunks, read back from copies, absent where there is none, and hardly seen."""

from __future__ import annotations

import io
import json

import dask.array as da
import numpy as np
import pytest
import zarr
from PIL import Image

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import BandMismatchError, ConfigError
from infbrush_wsi.phantom import hne_image
from infbrush_wsi.validation import validate_store
from infbrush_wsi.writers import write_ome_zarr
from infbrush_wsi.writers.watermark import BLOCK, FOUND, Watermark

pytest.importorskip("imwatermark")
MARK = Watermark("infbrush")


@pytest.fixture(scope="module")
def tissue():
    """A phantom of 700 x 600 pixels: four whole blocks and what is cut off."""
    return hne_image("Invasive", Shape(600, 700), 0.5, 1)


@pytest.fixture(scope="module")
def marked(tissue):
    return MARK.mark(da.from_array(tissue, chunks=(512, 512, 3))).compute()


def share(mark, pixels):
    return mark.agreement(lambda box: pixels[box.slices], Shape(*pixels.shape[:2]))


def test_a_mark_is_found_and_hardly_seen(tissue, marked):
    assert share(MARK, marked) == 1.0
    assert np.abs(marked.astype(int) - tissue).mean() < 3
    assert not np.array_equal(marked, tissue)


def test_what_is_cut_off_by_the_border_stays(tissue, marked):
    assert np.array_equal(marked[2 * BLOCK :], tissue[2 * BLOCK :])
    assert np.array_equal(marked[:, 2 * BLOCK :], tissue[:, 2 * BLOCK :])


@pytest.mark.parametrize("chunk", [256, 768])
def test_it_does_not_depend_on_chunks(tissue, marked, chunk):
    again = MARK.mark(da.from_array(tissue, chunks=(chunk, chunk, 3))).compute()
    assert np.array_equal(again, marked)


def test_neither_an_unmarked_image_nor_another_mark_is_taken_for_it(tissue, marked):
    assert share(MARK, tissue) < FOUND
    assert share(Watermark("elsewise"), marked) < FOUND


@pytest.mark.parametrize("quality", [95, 85])
def test_it_outlives_mild_jpeg(marked, quality):
    stored = io.BytesIO()
    Image.fromarray(marked).save(stored, "jpeg", quality=quality)
    assert share(MARK, np.asarray(Image.open(stored))) >= FOUND


@pytest.mark.parametrize("value", [0, 128, 245, 255])
def test_empty_background_can_be_marked_too(value):
    flat = np.full((512, 512, 3), value, np.uint8)
    found = MARK.mark(da.from_array(flat, chunks=(512, 512, 3))).compute()
    assert share(MARK, found) >= (FOUND if 0 < value < 255 else 0)
    assert np.abs(found.astype(int) - flat).max() <= 12


def test_an_image_without_a_whole_block_has_none():
    assert np.isnan(share(MARK, np.zeros((255, 900, 3), np.uint8)))


@pytest.mark.parametrize("text", ["", "ninechars", "grüße", "a\nb"])
def test_other_texts_are_refused(text):
    with pytest.raises(ConfigError, match="1 to 8 ASCII characters"):
        Watermark(text)


def test_other_bands_and_chunks_are_refused():
    with pytest.raises(BandMismatchError, match="not 4"):
        MARK.mark(da.zeros((512, 512, 4), dtype=np.uint8))
    with pytest.raises(ConfigError, match="multiple of 256 pixels, not 300"):
        MARK.mark(da.zeros((512, 512, 3), dtype=np.uint8, chunks=(300, 512, 3)))


@pytest.fixture
def store(marked, tmp_path):
    lattice = Lattice.regular(Shape(*marked.shape[:2]), 0.5)
    path = tmp_path / "a.ome.zarr"
    made = {"system": "infbrush", "watermark": MARK.record()}
    return write_ome_zarr([da.from_array(marked)], path, lattice=lattice, name="a", provenance=made)


def graded(path):
    return {finding.check: (finding.grade, finding.text) for finding in validate_store(path).findings}


def test_validation_finds_it(store):
    assert graded(store)["watermark"] == ("ok", "'infbrush' is in the pixels (100% of its bits)")


def test_validation_tells_that_pixels_were_replaced(store, tissue):
    zarr.open_array(str(store / "0"), mode="r+")[:] = np.moveaxis(tissue, 2, 0)[::-1]
    grade, text = graded(store)["watermark"]
    assert grade == "error"
    assert "they are not those that were written" in text


def test_a_damaged_record_is_told(store):
    group = zarr.open_group(str(store), mode="r+")
    record = json.loads(json.dumps(dict(group.attrs["infbrush_wsi"])))
    group.attrs["infbrush_wsi"] = record | {"watermark": {"text": 7}}
    assert graded(store)["watermark"][0] == "error"


def test_an_image_of_which_nothing_is_said_is_not_searched(marked, tmp_path):
    lattice = Lattice.regular(Shape(*marked.shape[:2]), 0.5)
    path = write_ome_zarr([da.from_array(marked)], tmp_path / "b.ome.zarr", lattice=lattice, name="b")
    assert "watermark" not in graded(path)
