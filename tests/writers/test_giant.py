"""A canvas far larger than memory or disk: the first pixels are asked for at once, and the graph stays small."""

import time
import tracemalloc

import dask
import dask.array as da
import numpy as np
import pytest

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import OutputError
from infbrush_wsi.writers import partial_folder, write_ome_zarr

SIDE = 100_000


class Giant:
    """uint8 (side, side, 3) whose blocks raise from the tenth on."""

    def __init__(self, side):
        self.shape, self.dtype, self.ndim, self.asked, self.first = (side, side, 3), np.dtype(np.uint8), 3, 0, None

    def __getitem__(self, region):
        self.first = self.first or time.monotonic()
        self.asked += 1
        if self.asked == 10:
            raise RuntimeError("enough")
        return np.zeros([part.stop - part.start for part in region], np.uint8)


@pytest.fixture(params=[1, 7], ids=["means", "given"])
def begin(request, tmp_path):
    """Begin or go on with a write that soon fails; give the seconds to the first block."""

    def write(chunk):
        sources = [Giant(-(-SIDE // 2**level)) for level in range(request.param)]
        meta = np.empty((0, 0, 0), np.uint8)
        levels = [da.from_array(one, chunks=(1024, 1024, 3), asarray=True, fancy=False, meta=meta) for one in sources]
        target, lattice = tmp_path / "x.ome.zarr", Lattice.regular(Shape(SIDE, SIDE), 0.5)
        begun = time.monotonic()
        with dask.config.set(scheduler="synchronous"), pytest.raises(OutputError, match="enough"):
            write_ome_zarr(levels, target, lattice=lattice, name="x", chunk=chunk, resume=True, fingerprint="giant")
        assert partial_folder(target).exists()
        return min(source.first for source in sources if source.first) - begun

    return write


@pytest.mark.parametrize("chunk", [512, 1024])
def test_a_giant_canvas_begins_and_goes_on_within_seconds(begin, chunk):
    assert begin(chunk) < 5
    assert begin(chunk) < 5


def test_a_giant_canvas_needs_little_memory(begin):
    tracemalloc.start()
    begin(1024)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6, f"{peak / 1e6:.0f} MB"
