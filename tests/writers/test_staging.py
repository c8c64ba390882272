"""A store is there whole or not at all."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time

import dask.array as da
import numpy as np
import pytest
import zarr

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import CorruptSourceError, OutputError, OutputExistsError
from infbrush_wsi.writers import write_ome_zarr

LATTICE = Lattice.regular(Shape(200, 200), 0.5)


def write(levels, path, **options):
    return write_ome_zarr(levels, path, lattice=LATTICE, name="x", chunk=50, **options)


def failing(error, at=9):
    """A dask array (200, 200, 3) of 16 blocks, of which one raises."""
    made = []

    def block(shape):
        made.append(shape)
        if len(made) == at:
            raise error
        return np.full(shape, 7, np.uint8)

    blank = da.zeros((200, 200, 3), chunks=(50, 50, 3), dtype=np.uint8)
    return blank.map_blocks(lambda b: block(b.shape), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_failing_block_leaves_nothing_and_tells_its_cause(tmp_path, version):
    cause = ValueError("the model made no pixels")
    with pytest.raises(OutputError, match="the model made no pixels") as caught:
        write([failing(cause)], tmp_path / "x.ome.zarr", version=version)
    assert caught.value.__cause__ is cause
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_this_package_comes_through_as_it_is(tmp_path):
    with pytest.raises(CorruptSourceError, match="tile 3"):
        write([failing(CorruptSourceError("tile 3 of slide.svs is damaged"))], tmp_path / "x.ome.zarr")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing_and_is_not_swallowed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write([failing(KeyboardInterrupt())], tmp_path / "x.ome.zarr")
    assert list(tmp_path.iterdir()) == []


def test_blocks_still_running_when_another_fails_write_nothing_afterwards(tmp_path):
    late = threading.Event()

    def block(values, block_info=None):
        if block_info[0]["chunk-location"] == (0, 0, 0):
            raise ValueError("early")
        time.sleep(0.3)
        late.set()
        return values

    blank = da.zeros((200, 200, 3), chunks=(50, 50, 3), dtype=np.uint8)
    with pytest.raises(OutputError, match="early"):
        write([blank.map_blocks(block, dtype=np.uint8)], tmp_path / "x.ome.zarr")
    assert late.wait(10)
    time.sleep(0.3)
    assert list(tmp_path.iterdir()) == []


def test_a_callback_that_fails_stops_the_writing(tmp_path, pixels, lazy):
    def stop(done, total):
        if done == 3:
            raise RuntimeError("no more")

    with pytest.raises(OutputError, match="no more"):
        write([lazy(pixels(200, 200))], tmp_path / "x.ome.zarr", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_the_name_appears_only_at_the_end(tmp_path, pixels, lazy):
    target, seen = tmp_path / "x.ome.zarr", []

    def look(done, total):
        names = [path.name for path in tmp_path.iterdir()]
        (partial,) = names
        state = zarr.open_group(str(tmp_path / partial), mode="r").attrs["infbrush_wsi"]["state"]
        seen.append((partial.startswith(f".x.ome.zarr.partial-{os.getpid()}-"), state))

    write([lazy(pixels(200, 200))], target, progress=look)
    assert set(seen) == {(True, "writing")}
    assert [path.name for path in tmp_path.iterdir()] == ["x.ome.zarr"]
    assert zarr.open_group(str(target), mode="r").attrs["infbrush_wsi"]["state"] == "complete"


def test_an_existing_output_is_refused_before_a_block_is_made(tmp_path, pixels, lazy, counting):
    target = write([lazy(pixels(200, 200))], tmp_path / "x.ome.zarr")
    before = zarr.open_group(str(target), mode="r")["0"][:]
    image = counting(255 - pixels(200, 200))
    with pytest.raises(OutputExistsError, match="overwrite"):
        write([lazy(image)], target)
    assert not image.asked
    np.testing.assert_array_equal(zarr.open_group(str(target), mode="r")["0"][:], before)


def test_overwriting_replaces_the_whole_store(tmp_path, pixels, lazy):
    target = write([lazy(pixels(200, 200))], tmp_path / "x.ome.zarr", version="0.4")
    image = 255 - pixels(200, 200)
    write([lazy(image)], target, version="0.5", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x.ome.zarr"]
    assert not (target / ".zgroup").exists()
    np.testing.assert_array_equal(zarr.open_group(str(target), mode="r")["0"][:].transpose(1, 2, 0), image)


def test_a_failed_overwrite_keeps_the_old_store(tmp_path, pixels, lazy):
    target = write([lazy(pixels(200, 200))], tmp_path / "x.ome.zarr")
    with pytest.raises(OutputError):
        write([failing(ValueError("no"))], target, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x.ome.zarr"]
    np.testing.assert_array_equal(zarr.open_group(str(target), mode="r")["0"][:].transpose(1, 2, 0), pixels(200, 200))


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_only_zarr_stores_are_overwritten(tmp_path, pixels, lazy, kind):
    target, precious = tmp_path / "x.ome.zarr", tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    if kind == "file":
        target.write_text("years of work")
    elif kind == "folder":
        target.mkdir()
        (target / "thesis.txt").write_text("years of work")
    else:
        target.symlink_to(precious)
    with pytest.raises(OutputExistsError, match="not a Zarr store"):
        write([lazy(pixels(200, 200))], target, overwrite=True)
    assert os.path.lexists(target)
    assert (precious / "thesis.txt").read_text() == "years of work"


def test_a_missing_folder_is_an_output_error(tmp_path, pixels, lazy):
    with pytest.raises(OutputError, match="nowhere"):
        write([lazy(pixels(200, 200))], tmp_path / "nowhere" / "x.ome.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_output_error(tmp_path, pixels, lazy):
    """A limit on the size of files stands for the disk: the system refuses the write in the same place."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OutputError, match="could not be written"):
            write([lazy(pixels(200, 200))], tmp_path / "x.ome.zarr")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_appears_meanwhile_is_not_replaced(tmp_path, pixels, lazy):
    target = tmp_path / "x.ome.zarr"
    with pytest.raises(OutputExistsError, match="exists"):
        write([lazy(pixels(200, 200))], target, progress=lambda done, total: target.mkdir(exist_ok=True))
    assert [path.name for path in tmp_path.iterdir()] == ["x.ome.zarr"]
    assert list(target.iterdir()) == []


INTERRUPTED = """
import sys, time
import dask.array as da, numpy as np
from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.writers import write_ome_zarr

def slow(block):
    time.sleep(0.05)
    return block

image = da.zeros((2000, 2000, 3), chunks=(50, 50, 3), dtype=np.uint8).map_blocks(slow, dtype=np.uint8)
lattice = Lattice.regular(Shape(2000, 2000), 0.5)
progress = lambda done, total: print(done, flush=True)
write_ome_zarr([image], sys.argv[1], lattice=lattice, name="x", chunk=50, progress=progress)
"""


def test_ctrl_c_leaves_nothing(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "x.ome.zarr")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        for _ in range(5):
            assert run.stdout.readline(), run.stderr.read()
        assert len(list(tmp_path.iterdir())) == 1
        run.send_signal(signal.SIGINT)
        errors = run.communicate(timeout=60)[1]
    assert run.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert list(tmp_path.iterdir()) == []
