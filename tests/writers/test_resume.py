"""A write that was interrupted goes on where it stopped, and gives the bytes of one that was not."""

import errno
import json
import resource
import signal
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import ConfigError, CorruptSourceError, OutputError, OutputExistsError, RegionError
from infbrush_wsi.writers import partial_folder, write_ome_zarr
from infbrush_wsi.writers.pyramid import halve

SHAPE = Shape(203, 330)
UNITS = 4 * 6 + 2 * 3 + 2 + 1
"""Chunks of 64 pixels of an image of that shape and its coarser levels."""
ALWAYS = {"lattice": Lattice.regular(SHAPE, 0.5), "name": "x", "chunk": 64, "provenance": {"created": "that day"}}


def write(levels, path, **options):
    return write_ome_zarr(levels, path, **{**ALWAYS, "resume": True, "fingerprint": "seed 1", **options})


@pytest.fixture
def image(pixels):
    return pixels(*SHAPE.as_tuple())


@pytest.fixture
def interrupted(tmp_path, image, lazy, breaking):
    """Begin a write that fails at a block; give the target and the folder of what was kept."""

    def begin(at=14, error=None, **options):
        target = tmp_path / "x.ome.zarr"
        broken = lazy(breaking(image, at, error or ValueError("the model made no pixels")))
        begin.error = None
        with dask.config.set(scheduler="synchronous"):
            try:
                write([broken], target, **options)
            except BaseException as raised:  # KeyboardInterrupt is one of those that are tried
                begin.error = raised
        assert begin.error is not None
        return target, partial_folder(target)

    return begin


@pytest.fixture
def uninterrupted(tmp_path, image, lazy, tree):
    def files(**options):
        path = tmp_path / "whole.ome.zarr"
        return tree(write_ome_zarr([lazy(image)], path, **{**ALWAYS, **options}))

    return files


def store_in(folder):
    (store,) = folder.glob("store-*")
    return store


def chunk_files(folder):
    """Files of pixels of a store of version 0.5."""
    return sorted(path for path in store_in(folder).rglob("*") if path.is_file() and path.name != "zarr.json")


@pytest.mark.parametrize("layout", ["flat", "nested"])
@pytest.mark.parametrize(("version", "shard"), [("0.4", None), ("0.5", None), ("0.5", 2)])
def test_the_bytes_are_those_of_an_uninterrupted_write(
    interrupted, uninterrupted, image, lazy, counting, tree, version, shard, layout
):
    form = {"version": version, "shard": shard, "layout": layout}
    target, folder = interrupted(**form)
    assert not target.exists()
    again = counting(image)
    assert write([lazy(again)], target, **form) == target
    assert tree(target) == uninterrupted(**form)
    assert 0 < len(again.asked) < 4 * 6
    assert not folder.exists()


def test_what_is_finished_is_not_made_again(interrupted, image, lazy, counting):
    target, folder = interrupted()
    store, before = store_in(folder), {path: path.stat().st_mtime_ns for path in chunk_files(folder)}
    again, calls = counting(image), []
    write([lazy(again)], target, progress=lambda done, total: calls.append((done, total)))
    assert len(again.asked) == 4 * 6 - 13
    assert calls[0] == (len(before), UNITS)
    assert calls == [(done, UNITS) for done in range(len(before), UNITS + 1)]
    moved = {target / path.relative_to(store): stamp for path, stamp in before.items()}
    assert moved == {path: path.stat().st_mtime_ns for path in moved}


def test_coarser_levels_are_written_as_soon_as_they_can_be(interrupted):
    """Of 13 blocks that were made, at least two times four lie below one coarser chunk, which is there too."""
    _, folder = interrupted()
    kept = Counter(path.relative_to(store_in(folder)).parts[0] for path in chunk_files(folder))
    assert kept["0"] == 13
    assert kept["1"] >= 2


def test_the_error_says_what_is_kept_and_how_to_go_on(interrupted):
    _, folder = interrupted()
    error = interrupted.error
    assert isinstance(error, OutputError)
    assert "the model made no pixels" in str(error)
    assert str(folder) in str(error)
    assert "resume" in str(error)
    assert isinstance(error.__cause__, ValueError)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), CorruptSourceError("tile 3 of slide.svs is damaged")])
def test_interrupts_and_errors_of_this_package_come_through_with_a_note(
    interrupted, uninterrupted, image, lazy, tree, error
):
    target, folder = interrupted(error=error)
    assert interrupted.error is error
    assert str(folder) in "".join(error.__notes__)
    write([lazy(image)], target)
    assert tree(target) == uninterrupted()


def test_a_callback_that_fails_loses_nothing(tmp_path, uninterrupted, image, lazy, counting, tree):
    def stop(done, total):
        if done == 9:
            raise RuntimeError("no more")

    target, again = tmp_path / "x.ome.zarr", counting(image)
    with dask.config.set(scheduler="synchronous"), pytest.raises(OutputError, match="no more"):
        write([lazy(image)], target, progress=stop)
    assert len(chunk_files(partial_folder(target))) == 9
    write([lazy(again)], target)
    assert tree(target) == uninterrupted()
    assert len(again.asked) <= 24 - 7


@contextmanager
def largest_file(size):
    """No file may grow beyond `size` bytes: the system refuses the write in the same place as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_keeps_the_earlier_chunks(tmp_path, lazy, tree):
    """Flat chunks compress to little and are written, the random ones behind them are too large."""
    image = np.full((*SHAPE.as_tuple(), 3), 9, np.uint8)
    image[128:] = np.random.default_rng(0).integers(0, 256, image[128:].shape, dtype=np.uint8)
    target = tmp_path / "x.ome.zarr"
    with largest_file(6000), dask.config.set(scheduler="synchronous"), pytest.raises(OutputError) as caught:
        write([lazy(image)], target)
    assert "free some space" in str(caught.value)
    assert caught.value.__cause__.errno in (errno.EFBIG, errno.ENOSPC)
    kept = chunk_files(partial_folder(target))
    assert kept
    assert all(path.stat().st_size < 6000 for path in kept)
    calls = []
    write([lazy(image)], target, progress=lambda done, total: calls.append(done))
    assert calls[0] == len(kept)
    assert tree(target) == tree(write_ome_zarr([lazy(image)], tmp_path / "whole.ome.zarr", **ALWAYS))


def test_a_disk_that_is_full_at_once_leaves_nothing(tmp_path, image, lazy):
    with largest_file(10), pytest.raises(OutputError, match="could not be written"):
        write([lazy(image)], tmp_path / "x.ome.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("version", "shard"), [("0.4", None), ("0.5", None), ("0.5", 2)])
def test_black_chunks_are_on_disk_after_an_interruption_too(interrupted, tmp_path, lazy, tree, version, shard):
    """Zarr leaves them out unless it is told, and a store that is opened again does not remember that it was."""
    form, black = {"version": version, "shard": shard}, np.zeros((*SHAPE.as_tuple(), 3), np.uint8)
    target, _ = interrupted(at=1, **form)
    write([lazy(black)], target, **form)
    assert tree(target) == tree(write_ome_zarr([lazy(black)], tmp_path / "whole.ome.zarr", **{**ALWAYS, **form}))


def damage_chunk(folder, file):
    file.write_bytes(file.read_bytes()[:-1] + b"?")


def tear_chunk(folder, file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty_chunk(folder, file):
    file.write_bytes(b"")


def delete_chunk(folder, file):
    file.unlink()


@pytest.mark.parametrize("harm", [damage_chunk, tear_chunk, empty_chunk, delete_chunk])
@pytest.mark.parametrize(("level", "shard"), [(0, None), (1, None), (0, 2)])
def test_a_harmed_chunk_is_written_again(interrupted, uninterrupted, image, lazy, counting, tree, harm, level, shard):
    target, folder = interrupted(shard=shard)
    file = next(path for path in chunk_files(folder) if path.relative_to(store_in(folder)).parts[0] == str(level))
    whole = len(chunk_files(folder))
    harm(folder, file)
    again, calls = counting(image), []
    write([lazy(again)], target, shard=shard, progress=lambda done, total: calls.append(done))
    assert calls[0] == whole - 1
    assert tree(target) == uninterrupted(shard=shard)


def test_a_chunk_without_a_whole_line_in_the_journal_is_written_again(
    interrupted, uninterrupted, image, lazy, counting, tree
):
    target, folder = interrupted()
    (journal,) = folder.glob("journal-*")
    whole = len(chunk_files(folder))
    journal.write_bytes(journal.read_bytes()[:-5])
    calls = []
    write([lazy(counting(image))], target, progress=lambda done, total: calls.append(done))
    assert calls[0] == whole - 1
    assert tree(target) == uninterrupted()


def test_files_of_killed_processes_do_not_stay(interrupted, uninterrupted, image, lazy, tree):
    target, folder = interrupted()
    file = chunk_files(folder)[0]
    file.with_suffix(".0123456789abcdef.partial").write_bytes(b"half a chunk")
    write([lazy(image)], target)
    assert tree(target) == uninterrupted()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "seed 2"}, 'fingerprint was "seed 1" and is "seed 2"'),
        ({"chunk": 32}, "chunk was 64 and is 32"),
        ({"version": "0.4"}, 'version was "0.5" and is "0.4"'),
        ({"layout": "nested"}, "layout"),
        ({"shard": 2}, "shard was null and is 2"),
        ({"name": "y"}, "name"),
        ({"channel_names": ["a", "b", "c"]}, "channels"),
        ({"provenance": {"model": "m"}}, 'provenance model was null and is "m"'),
        ({"lattice": Lattice.regular(SHAPE, 0.25)}, "provenance lattice"),
    ],
)
def test_another_request_is_refused_and_nothing_is_lost(
    interrupted, uninterrupted, image, lazy, counting, tree, change, message
):
    target, folder = interrupted()
    before, other = tree(folder), counting(image)
    with pytest.raises(OutputError, match="overwrite") as caught:
        write([lazy(other)], target, **change)
    assert message in str(caught.value)
    assert not other.asked
    assert tree(folder) == before
    write([lazy(image)], target)
    assert tree(target) == uninterrupted()


def test_given_levels_are_not_mixed_with_means(interrupted, image, lazy):
    target, _ = interrupted()
    half = lazy(image[::2, ::2])
    with pytest.raises(OutputError, match=r"given levels was \[true\] and is \[true, true\]"):
        write([lazy(image), half], target)


def test_a_level_that_is_left_out_is_the_mean_of_the_finer_one(tmp_path, image, lazy):
    third = 255 - image[::4, ::4]
    target = write([lazy(image), None, lazy(third)], tmp_path / "gap.ome.zarr")
    root = zarr.open_group(str(target), mode="r")
    np.testing.assert_array_equal(root["1"][:], halve(image.transpose(2, 0, 1)))
    np.testing.assert_array_equal(root["2"][:].transpose(1, 2, 0), third)


def test_level_zero_cannot_be_left_out(tmp_path, image, lazy):
    with pytest.raises(RegionError, match="level 0"):
        write([None, lazy(image)], tmp_path / "none.ome.zarr")


def test_overwriting_discards_another_request_and_goes_on_with_the_same(interrupted, image, lazy, counting):
    target, folder = interrupted()
    same = counting(image)
    write([lazy(same)], target, overwrite=True)
    assert len(same.asked) == 24 - 13
    interrupted(overwrite=True)
    other = counting(255 - image)
    write([lazy(other)], target, overwrite=True, fingerprint="seed 2")
    assert len(other.asked) == 24
    assert not folder.exists()
    np.testing.assert_array_equal(zarr.open_group(str(target), mode="r")["0"][:].transpose(1, 2, 0), 255 - image)


def test_the_time_of_creation_is_that_of_the_first_start(interrupted, image, lazy):
    target, folder = interrupted(provenance=None)
    record = json.loads((folder / "record.json").read_text())
    record["provenance"]["created"] = "1999-12-31T23:59:59+00:00"
    (folder / "record.json").write_text(json.dumps(record))
    write([lazy(image)], target, provenance=None)
    kept = zarr.open_group(str(target), mode="r").attrs["infbrush_wsi"]
    assert (kept["created"], kept["state"]) == ("1999-12-31T23:59:59+00:00", "complete")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 7}', None])
def test_a_damaged_record_is_told_and_can_be_overwritten(interrupted, uninterrupted, image, lazy, tree, text):
    target, folder = interrupted()
    record = folder / "record.json"
    record.unlink() if text is None else record.write_text(text)
    before = tree(folder)
    with pytest.raises(OutputError, match=r"record\.json.*overwrite"):
        write([lazy(image)], target)
    assert tree(folder) == before
    write([lazy(image)], target, overwrite=True)
    assert tree(target) == uninterrupted()


def test_damaged_metadata_are_told(interrupted, image, lazy, tree):
    target, folder = interrupted()
    (store_in(folder) / "1" / "zarr.json").write_text("{")
    before = tree(folder)
    with pytest.raises(OutputError, match="remove the folder"):
        write([lazy(image)], target)
    assert tree(folder) == before


def test_only_one_call_writes_an_output(tmp_path, image, lazy):
    target, inside, go = tmp_path / "x.ome.zarr", threading.Event(), threading.Event()

    def wait(done, total):
        inside.set()
        go.wait(20)

    first = threading.Thread(target=write, args=([lazy(image)], target), kwargs={"progress": wait})
    first.start()
    try:
        assert inside.wait(20)
        with pytest.raises(OutputError, match="another process"):
            write([lazy(image)], target)
    finally:
        go.set()
        first.join()
    assert [path.name for path in tmp_path.iterdir()] == ["x.ome.zarr"]


def test_a_complete_output_is_refused(tmp_path, image, lazy, counting):
    target = write([lazy(image)], tmp_path / "x.ome.zarr")
    again = counting(image)
    with pytest.raises(OutputExistsError, match="overwrite"):
        write([lazy(again)], target)
    assert not again.asked
    assert [path.name for path in tmp_path.iterdir()] == ["x.ome.zarr"]


def test_an_output_that_appears_meanwhile_is_not_replaced_and_nothing_is_lost(
    tmp_path, uninterrupted, image, lazy, tree
):
    target = tmp_path / "x.ome.zarr"
    with pytest.raises(OutputExistsError, match="exists"):
        write([lazy(image)], target, progress=lambda done, total: target.mkdir(exist_ok=True))
    target.rmdir()
    calls = []
    write([lazy(image)], target, progress=lambda done, total: calls.append(done))
    assert calls == [UNITS]
    assert tree(target) == uninterrupted()


def test_a_write_that_was_killed_after_the_store_had_its_name_is_over(interrupted, image, lazy):
    """The folder beside a complete store is removed by the next call."""
    target, folder = interrupted()
    store_in(folder).rename(target)
    with pytest.raises(OutputExistsError):
        write([lazy(image)], target)
    assert not folder.exists()


def test_a_store_that_was_put_aside_gets_its_name_back(tmp_path, interrupted, image, lazy):
    old = write([lazy(255 - image)], tmp_path / "x.ome.zarr")
    target, folder = interrupted(overwrite=True)
    token = json.loads((folder / "record.json").read_text())["token"]
    old.rename(tmp_path / f".x.ome.zarr.replaced-{token}")
    with pytest.raises(OutputExistsError):
        write([lazy(image)], target)
    np.testing.assert_array_equal(zarr.open_group(str(target), mode="r")["0"][:].transpose(1, 2, 0), 255 - image)
    write([lazy(image)], target, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x.ome.zarr"]


@pytest.mark.parametrize("fingerprint", [None, ""])
def test_a_fingerprint_is_needed(tmp_path, image, lazy, fingerprint):
    with pytest.raises(ConfigError, match="fingerprint"):
        write([lazy(image)], tmp_path / "x.ome.zarr", fingerprint=fingerprint)
    assert list(tmp_path.iterdir()) == []


def test_bad_arguments_leave_nothing(tmp_path, image, lazy):
    lattice = Lattice(SHAPE, ALWAYS["lattice"].transform, "meter", "EPSG:1")
    with pytest.raises(ConfigError, match="EPSG:1"):
        write([lazy(image)], tmp_path / "x.ome.zarr", layout="nested", lattice=lattice)
    with pytest.raises(OutputError, match="nowhere"):
        write([lazy(image)], tmp_path / "nowhere" / "x.ome.zarr")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_interruption_gives_the_same_bytes(data, pixels, lazy, breaking, tree):
    """Several failures in a row, for any shape, chunk, shard, number of given levels, source blocks and scheduler."""
    h, w, c = (data.draw(st.integers(1, high), label) for high, label in ((90, "h"), (90, "w"), (4, "c")))
    given_levels = data.draw(st.integers(1, 3), "given levels")
    block = data.draw(st.integers(16, 70), "source block")
    options = {
        "lattice": Lattice.regular(Shape(h, w), 1.0),
        "chunk": data.draw(st.integers(12, 40), "chunk"),
        "shard": data.draw(st.none() | st.integers(1, 3), "shard"),
    }
    images = [pixels(-(-h // 2**k), -(-w // 2**k), c) for k in range(given_levels)]
    stops = data.draw(st.lists(st.integers(1, 12), max_size=3), "stops")
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "x.ome.zarr"
        for stop in stops:
            broken = [lazy(breaking(image, stop, OSError(errno.ENOSPC, "full")), block) for image in images]
            with dask.config.set(scheduler=data.draw(st.sampled_from(["threads", "synchronous"]))):
                try:
                    write(broken, target, **options)
                except OutputError:
                    assert not target.exists()
                else:
                    break
        if not target.exists():
            write([lazy(image, block) for image in images], target, **options)
        whole = Path(name) / "whole.ome.zarr"
        write_ome_zarr([lazy(image, block) for image in images], whole, **{**ALWAYS, **options})
        assert tree(target) == tree(whole)
        assert len(list(Path(name).iterdir())) == 2


def test_another_process_scheduler_gives_the_same_bytes(tmp_path, uninterrupted, image, tree):
    target, calls = tmp_path / "x.ome.zarr", []
    level = da.from_array(image, chunks=(64, 64, 3))
    with dask.config.set(scheduler="processes", num_workers=2):
        write([level], target, progress=lambda done, total: calls.append((done, total)))
    assert tree(target) == uninterrupted()
    assert calls == [(UNITS, UNITS)]
