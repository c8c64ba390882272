"""A line in the journal means a file that was complete; nothing else counts."""

import multiprocessing
import re
import resource
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from infbrush_wsi.errors import OutputError
from infbrush_wsi.writers.journal import Journal, checksum, journal_files, read_journal
from infbrush_wsi.writers.lock import sole_writer
from infbrush_wsi.writers.units import Unit


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "chunk"
    path.write_bytes(b"pixels")
    return path


def test_what_is_noted_is_read_again(tmp_path, file):
    journal = Journal(tmp_path)
    units = [Unit(level, row, 7) for level in range(3) for row in range(50)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda unit: journal.add(unit, file), units))
    assert read_journal(tmp_path) == {unit: {checksum(file)} for unit in units}


def test_a_later_write_of_a_unit_counts_beside_the_first(tmp_path, file):
    journal, first = Journal(tmp_path), checksum(file)
    journal.add(Unit(0, 1, 2), file)
    file.write_bytes(b"other pixels")
    journal.add(Unit(0, 1, 2), file)
    assert read_journal(tmp_path) == {Unit(0, 1, 2): {first, checksum(file)}}


def test_a_line_cut_anywhere_is_no_entry_and_spoils_no_other(tmp_path, file):
    journal = Journal(tmp_path)
    for row in range(3):
        journal.add(Unit(0, row, 0), file)
    (path,) = journal_files(tmp_path)
    whole = path.read_bytes()
    ends = [match.end() for match in re.finditer(rb"[0-9a-f]{32}", whole)]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert len(read_journal(tmp_path)) == sum(end <= length for end in ends)
        journal.add(Unit(9, 9, 9), file)
        assert len(read_journal(tmp_path)) == sum(end <= length for end in ends) + 1


@pytest.mark.parametrize("line", [b"\0" * 60, b"0 1 2 zz", b"0 1 2 abcd", b"a b c " + b"0" * 32, b"\xff\xfe", b"0 1 2"])
def test_damaged_lines_are_passed_over(tmp_path, file, line):
    journal = Journal(tmp_path)
    journal.add(Unit(0, 0, 0), file)
    (path,) = journal_files(tmp_path)
    path.write_bytes(line + b"\n" + path.read_bytes() + line)
    assert set(read_journal(tmp_path)) == {Unit(0, 0, 0)}


def test_a_full_disk_is_told_and_costs_one_line(tmp_path, file):
    """A limit on the size of files stands for the disk; the line that meets it is cut short."""
    journal = Journal(tmp_path)
    journal.add(Unit(0, 0, 0), file)
    (path,) = journal_files(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
    try:
        with pytest.raises(OSError, match="space"):
            journal.add(Unit(0, 0, 1), file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    journal.add(Unit(0, 0, 2), file)
    assert set(read_journal(tmp_path)) == {Unit(0, 0, 0), Unit(0, 0, 2)}


def test_each_process_has_a_file_of_its_own(tmp_path, file):
    journal = Journal(tmp_path)
    journal.add(Unit(0, 0, 0), file)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(journal.add, (Unit(0, 0, 1), file))
    assert len(journal_files(tmp_path)) == 2
    assert set(read_journal(tmp_path)) == {Unit(0, 0, 0), Unit(0, 0, 1)}


def test_one_folder_has_one_writer(tmp_path):
    folder = tmp_path / "draft"
    with sole_writer(folder):
        with pytest.raises(OutputError, match="another process"), sole_writer(folder):
            pass
        assert folder.is_dir()
    with sole_writer(folder):
        pass


def test_a_lock_of_a_folder_that_was_removed_does_not_hold(tmp_path):
    folder = tmp_path / "draft"
    with sole_writer(folder):
        (folder / "lock").unlink()
        folder.rmdir()
        with sole_writer(folder), pytest.raises(OutputError, match="another process"), sole_writer(folder):
            pass


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="nowhere"), sole_writer(tmp_path / "nowhere" / "draft"):
        pass
